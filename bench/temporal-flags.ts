import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { type DevServerKind, findDevServer, startDevServer } from './support/dev-server.ts';
import { median } from './support/fleet-bench.ts';
import type { fourSteps } from './support/four-steps.ts';

/**
 * What the flags of `npm start` do for Temporal's dev server: the time of a four-step workflow alone, and workflows a
 * second with 20 in flight, with the flags and with nothing but `--db-filename`. Both servers stand on an empty
 * database and are measured in turn, a few seconds each, so that whatever else the box does meets both. Workers and
 * client are this process. `npm run bench -- temporal-flags [rounds]`.
 */
const rounds = Number(process.argv[2] ?? 6);
const aloneRuns = 6;
/** Nothing ends in the first moments of a load: they are not counted. */
const runUpSeconds = 3;
const loadSeconds = 5;
const inFlight = 20;
const warmUpRuns = 6;
const queue = 'four_steps';

interface Subject {
  client: Client;
  aloneMs: number[];
  endedUnderLoad: number[];
  close(): Promise<void>;
}

async function openSubject(binary: string, kind: DevServerKind, code: string): Promise<Subject> {
  const server = await startDevServer(binary, kind);
  const connection = await Connection.connect({ address: server.address });
  const native = await NativeConnection.connect({ address: server.address });
  const worker = await Worker.create({
    connection: native,
    taskQueue: queue,
    workflowBundle: { code },
    activities: { step: async (ordinal: number) => ordinal },
  });
  const working = worker.run();
  return {
    client: new Client({ connection }),
    aloneMs: [],
    endedUnderLoad: [],
    async close() {
      worker.shutdown();
      await working;
      await native.close();
      await connection.close();
      await server.stop();
    },
  };
}

async function timed({ client }: Subject): Promise<number> {
  const from = performance.now();
  await client.workflow.execute<typeof fourSteps>('fourSteps', { taskQueue: queue, workflowId: randomUUID() });
  return performance.now() - from;
}

/** Counts what ends within the window; those still in flight then are waited for and not counted. */
async function underLoad(subject: Subject): Promise<number> {
  let ended = 0;
  const from = performance.now() + runUpSeconds * 1000;
  const until = from + loadSeconds * 1000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        await timed(subject);
        const now = performance.now();
        if (now >= from && now < until) ended += 1;
      }
    }),
  );
  return ended;
}

async function measureAll(flags: Subject, plain: Subject): Promise<void> {
  for (const subject of [flags, plain]) for (let i = 0; i < warmUpRuns; i += 1) await timed(subject);
  for (let round = 0; round < rounds; round += 1) {
    const turns = round % 2 === 0 ? [plain, flags] : [flags, plain];
    for (const subject of turns) for (let i = 0; i < aloneRuns; i += 1) subject.aloneMs.push(await timed(subject));
    for (const subject of turns) subject.endedUnderLoad.push(await underLoad(subject));
    const last = [flags, plain]
      .map(({ endedUnderLoad }) => (endedUnderLoad.at(-1)! / loadSeconds).toFixed(1))
      .join(' and ');
    process.stderr.write(`round ${round + 1} of ${rounds}: ${last} workflows/s with and without the flags\n`);
  }
}

function figuresOf(flags: Subject, plain: Subject) {
  const alone = { flags: median(flags.aloneMs), plain: median(plain.aloneMs) };
  const ended = { flags: sum(flags.endedUnderLoad), plain: sum(plain.endedUnderLoad) };
  const seconds = loadSeconds * rounds;
  return {
    alone_ms: rounded(alone.flags),
    alone_ms_plain: rounded(alone.plain),
    alone_over_plain: rounded(alone.flags / alone.plain),
    workflows_per_s: rounded(ended.flags / seconds),
    workflows_per_s_plain: rounded(ended.plain / seconds),
    workflows_per_s_over_plain: rounded(ended.flags / ended.plain),
    alone_runs: flags.aloneMs.length,
    in_flight: inFlight,
    load_seconds: seconds,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

Runtime.install({ logger: new DefaultLogger('ERROR') });
const { binary, server } = await findDevServer();
const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('./support/four-steps.ts', import.meta.url)),
  logger: new DefaultLogger('WARN'),
});
const open: Subject[] = [];
try {
  for (const kind of ['flags', 'plain'] as const) open.push(await openSubject(binary, kind, code));
  const [flags, plain] = open as [Subject, Subject];
  await measureAll(flags, plain);
  process.stdout.write(`${JSON.stringify({ ...figuresOf(flags, plain), server })}\n`);
} finally {
  for (const subject of open) await subject.close();
}
