import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type ReplayWorkerOptions, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, expect, inject, test } from 'vitest';
import * as workflows from '../../workflows/index.ts';
import { createLogger } from '../../observability/logger.ts';
import { workflowBundle } from '../../workers/bundle.ts';
import { installRuntime } from '../../workers/runtime.ts';

const folder = fileURLToPath(new URL('./histories/', import.meta.url));
const names = readdirSync(folder).map((file) => file.replace(/\.json$/, ''));

beforeAll(() => installRuntime(createLogger({ part: 'worker', level: 'silent' })));

interface History {
  events: Array<{ workflowExecutionStartedEventAttributes?: { workflowType: { name: string } } }>;
}
function history(name: string): History {
  return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as History;
}
function typeOf({ events }: History): string {
  return events[0]?.workflowExecutionStartedEventAttributes?.workflowType.name ?? '';
}
function replay(bundle: ReplayWorkerOptions['workflowBundle'], name: string): Promise<void> {
  return Worker.runReplayHistory({ workflowBundle: bundle! }, history(name), name);
}

test.each(names)('%s goes on as it was recorded', async (name) => {
  await replay({ codePath: inject('stack').workflowBundle! }, name);
});

test('traces that are switched on disturb no workflow that was begun without them', async () => {
  const bundle = { codePath: await workflowBundle({ traced: true }) };
  for (const name of names) await replay(bundle, name);
}, 240_000);

test('a codec that is switched on disturbs no workflow that has failed or seen a failure without it', async () => {
  const bundle = { codePath: await workflowBundle({ encoded: true }) };
  const withFailures = names.filter((name) => JSON.stringify(history(name)).includes('"failure"'));
  expect(withFailures.length).toBeGreaterThan(5);
  for (const name of withFailures) await replay(bundle, name);
}, 240_000);

test('every workflow has a history', () => {
  const recorded = new Set(names.map((name) => typeOf(history(name))));
  expect([...recorded].sort()).toEqual(Object.keys(workflows).sort());
});

test('histories name no machine and no path of the box they were recorded on', () => {
  for (const name of names) {
    const text = readFileSync(join(folder, `${name}.json`), 'utf8');
    expect([name, /\d@|file:\/\/|\/(?:home|root|work|tmp)\//.exec(text)?.[0]]).toEqual([name, undefined]);
  }
});

test('a workflow whose steps changed their order is caught', async () => {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./broken/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  await expect(replay({ code }, 'drain-machine-drained')).rejects.toThrow(DeterminismViolationError);
});
