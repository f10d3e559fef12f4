import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { searchAttributeNames } from '../../domain/temporal-needs.ts';
import { windowOf, workflowTypes } from '../../domain/workflow-window.ts';
import * as workflows from '../../workflows/index.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

test('every workflow has a window', () => {
  expect(workflowTypes.toSorted()).toEqual(Object.keys(workflows).toSorted());
});

const everything = {
  agentId: 'vesper-001',
  machineId: 'pc2',
  guildId: 'gld_1',
  dropId: 'drp_1',
  trigger: 'schedule',
  cadence: null,
  planVersion: 7,
};

test.each(workflowTypes)('%s: a line, some words, and attributes that are registered', (type) => {
  for (const args of [[everything], [{}], []]) {
    const { staticSummary, staticDetails, typedSearchAttributes } = windowOf(type, args);
    expect(staticSummary).toMatch(/^[^\n]{3,200}$/);
    expect(staticDetails.length).toBeGreaterThan(5);
    const names = typedSearchAttributes.map(({ key }) => key.name);
    expect(names[0]).toBe('SoulfraKind');
    expect(names.filter((name) => !searchAttributeNames.includes(name))).toEqual([]);
  }
});

test('what it is about is looked up by attribute', () => {
  const { staticSummary, typedSearchAttributes } = windowOf('reflectAgent', [everything], 'by hand');
  expect(staticSummary).toBe('vesper-001 reflects (schedule): by hand');
  expect(Object.fromEntries(typedSearchAttributes.map(({ key, value }) => [key.name, value]))).toEqual({
    SoulfraKind: 'reflection',
    AgentId: 'vesper-001',
    MachineId: 'pc2',
    GuildId: 'gld_1',
  });
  // Of another version that works beside this one.
  expect(windowOf('toString', [])).toEqual({
    staticSummary: 'toString',
    staticDetails: 'toString',
    typedSearchAttributes: [],
  });
});

test('nothing starts a workflow without its window', () => {
  const starts =
    /\.workflow\s*\.(?:start|execute|signalWithStart)\(|startChild\(|executeChild\(|'startWorkflow'|WithStartWorkflowOperation\(/g;
  const found = ['api', 'workers', 'workflows', 'activities', 'stores', 'cli', 'integrations', 'deploy'].flatMap(
    (room) =>
      readdirSync(root + room, { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .flatMap((file) => {
          const text = readFileSync(`${root}${room}/${file}`, 'utf8');
          return [...text.matchAll(starts)].map(({ index }) => ({
            at: `${room}/${file}`,
            // The options begin right there.
            windowed: /\.\.\.(?:window\b|windowOf\(|childWindow\()/.test(text.slice(index, index + 400)),
          }));
        }),
  );
  expect(found.filter(({ windowed }) => !windowed)).toEqual([]);
  expect(found.length).toBeGreaterThanOrEqual(8);
});
