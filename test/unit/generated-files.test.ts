import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { takeInventory } from '../../config/imports/inventory.ts';
import { generatedFiles } from '../../domain/generated-files.ts';
import { assessAll } from '../../domain/readiness-assessors.ts';
import type { Inventory } from '../../domain/readiness-inventory.ts';
import { reportOf } from '../../domain/readiness-reports.ts';
import { makeFaultyMonorepo } from '../support/faulty-monorepo.ts';
import { inFolder } from '../support/imported.ts';
import { writeMonorepo } from '../support/monorepo.ts';

const { files } = makeFaultyMonorepo();
const inventoryOf = (all: ReadonlyMap<string, string>): Promise<Inventory> =>
  inFolder({}, (folder) => {
    writeMonorepo(folder, { files: all });
    return takeInventory({
      paths: [folder],
      machineFiles: [
        { machine: 'mainpc', file: 'config/startup.mainpc.yaml' },
        { machine: 'pc2', file: 'config/startup.pc2.yaml' },
      ],
      portRules: [],
      machines: [{ id: 'mainpc' }, { id: 'pc2' }],
      fleet: undefined,
    });
  });
const kinds = ['container-package', 'environment', 'runbooks', 'cleanup-plan'] as const;

describe('what is generated', () => {
  test('describes nothing to who reads the repository until a person takes it into use', async () => {
    const inventory = await inventoryOf(files);
    const found = assessAll(inventory);
    const { findings: open } = reportOf(found, { acceptances: [], today: '2026-11-22' });
    const made = kinds.map((kind) => generatedFiles(kind, { inventory, open }));
    expect(made.map((each) => each.size)).toEqual([4, 1, 1, 1]);
    const merged = await inventoryOf(new Map([...files, ...made.flatMap((each) => [...each])]));
    expect(merged.runbooks).toContain('docs/runbooks/services.md');
    const without = found.filter(({ rule }) => rule !== 'runbook-missing');
    expect(assessAll(merged).filter(({ rule }) => rule !== 'runbook-missing')).toEqual(without);
    // The same of the same, so that a step that is done twice is one commit.
    expect(kinds.map((kind) => generatedFiles(kind, { inventory, open }))).toEqual(made);
  });

  test('is a compose file for each machine, whose services need only what is in it', async () => {
    const inventory = await inventoryOf(files);
    const made = generatedFiles('container-package', { inventory, open: [] });
    const machines = new Map<string, string[]>();
    for (const [name, text] of made) {
      const found = /compose(?:\.(\w+))?\.yaml$/.exec(name);
      if (found === null) continue;
      const machine = found[1] ?? 'none named';
      const { services } = parse(text) as { services: Record<string, { depends_on?: string[]; labels?: object }> };
      machines.set(machine, Object.keys(services));
      for (const { depends_on: needs = [], labels } of Object.values(services)) {
        expect(labels).toEqual(found[1] === undefined ? undefined : { machine });
        for (const need of needs) expect(Object.keys(services)).toContain(need);
      }
    }
    expect([...machines.keys()].toSorted()).toEqual(['mainpc', 'none named', 'pc2']);
    const bare = inventory.services.filter(({ kind, command = [] }) => /process|unit/.test(kind) && command.length > 0);
    expect([...machines.values()].flat()).toHaveLength(bare.length);
  });

  test('has no value of a variable, and no line of its own from what a repository says', async () => {
    const inventory = await inventoryOf(files);
    const missing = [{ name: 'A_KEY', service: 'a', place: 'x.py\nEVIL=1:3' }];
    const text = generatedFiles('environment', { inventory: { ...inventory, variablesMissing: missing }, open: [] });
    const lines = text.get('templates/soulfra/env.example')!.split('\n');
    expect(lines.filter((line) => line !== '' && !line.startsWith('#'))).toEqual(['A_KEY=']);
    expect(generatedFiles('environment', { inventory: { ...inventory, variablesMissing: [] }, open: [] }).size).toBe(0);
  });
});
