import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findFleet, type Found } from '../../config/imports/import-fleet.ts';
import type { Service } from '../../domain/services.ts';
import { makeMonorepo, writeMonorepo } from '../support/monorepo.ts';

const monorepo = makeMonorepo();
const machines = [{ id: 'mainpc' }, { id: 'pc2' }];
const machineFiles = [
  { machine: 'mainpc', file: 'config/startup.mainpc.yaml' },
  { machine: 'pc2', file: 'config/startup.pc2.yaml' },
];

let folder: string;
let found: Found;
const byId = new Map<string, Service>();
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-import-'));
  writeMonorepo(folder, monorepo);
  found = findFleet({ paths: [folder], machineFiles, portRules: [], machines });
  for (const service of found.file.services) byId.set(service.id, service);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a monorepo of two machines', () => {
  test('gives every service once, and nothing that only looks like one', () => {
    expect(monorepo.services.length).toBeGreaterThanOrEqual(80);
    expect(found.file.services.map(({ id }) => id)).toEqual(monorepo.services.map(({ id }) => id));
    const text = JSON.stringify(
      found.file.services.map(({ id, script }: Service & { script?: string }) => [id, script]),
    );
    for (const name of monorepo.lookAlikes) expect(text).not.toContain(`"${name}`);
  });

  test.each(monorepo.services)('$id has its machine, ports, dependencies and needs', (expected) => {
    const service = byId.get(expected.id)!;
    const ports = service.ports ?? [];
    expect({
      machine: service.machine,
      ports: ports.filter(({ derived }) => derived === undefined).map(({ port }) => port),
      derived: ports.filter(({ derived }) => derived !== undefined).map(({ port }) => port),
      dependsOn: service.dependsOn ?? [],
      required: service.required ?? true,
      gpu: service.gpu !== undefined,
      open: service.unresolved ?? [],
    }).toEqual({
      machine: expected.machine,
      ports: expected.ports,
      derived: expected.derived ?? [],
      dependsOn: expected.dependsOn ?? [],
      required: expected.required ?? true,
      gpu: expected.gpu ?? false,
      open: [],
    });
  });

  test('names for each the file and line where it stands', () => {
    for (const { source } of found.file.services) {
      const [, name, line] = /^(.+):(\d+)$/.exec(source)!;
      const text = monorepo.files.get(name!)!.split('\n')[Number(line) - 1]!;
      expect(text.trim(), source).not.toBe('');
    }
    expect(byId.get('memory-api@pc2')?.source).toBe('config/startup.pc2.yaml:6');
    expect(monorepo.files.get('config/startup.pc2.yaml')!.split('\n')[5]).toBe('    memory_api:');
    expect(byId.get('agent-02')?.source).toBe(`config/groups/agents.yaml:${1 + 3 + 4}`);
  });

  test('knows command, health check and why a GPU is needed', () => {
    expect(byId.get('memory-api@pc2')).toMatchObject({
      kind: 'process',
      command: ['python3', 'services/memory/api.py'],
      healthCheck: { kind: 'http', port: 7301, path: '/healthz' },
    });
    expect(byId.get('agent-01')).toMatchObject({ healthCheck: { kind: 'http', port: 9010, path: '/live' } });
    expect(byId.get('model-d')?.gpu).toEqual({
      vramGiB: 12,
      because: [expect.stringContaining('it says so'), 'vllm==0.12.0 (models/model_d/requirements.txt:2)'],
    });
    expect(byId.get('search')).toMatchObject({
      command: ['python', '-m', 'search.main'],
      healthCheck: { kind: 'http', port: 8800, path: '/ready' },
    });
    expect(byId.get('cache')?.ports).toEqual([{ name: 'main', port: 6379, address: '127.0.0.1', containerPort: 6379 }]);
  });

  test('makes each migration script a work package', () => {
    expect(
      found.file.workPackages.map(({ id, completeness, machine, needs }) => ({
        id,
        state: completeness.state,
        machine,
        needs,
      })),
    ).toEqual(monorepo.workPackages);
    expect(found.file.workPackages[6]!.completeness.open).toEqual([
      'TODO stop the old one first (migration/wp-07-step.sh:6)',
    ]);
  });

  test('tells what was left out', () => {
    expect(found.notes).toContain('innocent_off is left out: switched off at config/switched.yaml:2');
    expect(found.skipped).toContainEqual({ path: 'examples/', reason: 'folders of this name are passed over' });
    expect(JSON.stringify(found.file)).not.toContain('quiet-secret');
  });

  test('is the same whatever the order of the folders', () => {
    const again = mkdtempSync(join(tmpdir(), 'soulfra-import-'));
    try {
      writeMonorepo(again, { files: new Map([...monorepo.files].toReversed()) });
      expect(findFleet({ paths: [again], machineFiles, portRules: [], machines }).file).toEqual(found.file);
    } finally {
      rmSync(again, { recursive: true });
    }
  });
});
