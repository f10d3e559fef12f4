import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { type DevServerKind, findDevServer, startDevServer } from './support/dev-server.ts';
import { median } from './support/fleet-bench.ts';
import type { fourSteps } from './support/four-steps.ts';

/**
 * What the flags of `npm start` do for Temporal's dev server: the time of a four-step workflow alone, and workflows a
 * second with 20 in flight, with the flags and with nothing but `--db-filename`. Rounds alternate, each on an empty
 * database; worker and client are this process. `npm run bench -- temporal-flags [rounds]`, about 40 s a round.
 */
const rounds = Number(process.argv[2] ?? 3);
const aloneAWhole = 36;
const loadSeconds = 8;
const inFlight = 20;
const warmUp = 6;
const queue = 'four_steps';

interface Figures {
  aloneMs: number[];
  perSecond: number[];
}

async function measure(address: string, code: string, into: Figures): Promise<void> {
  const connection = await Connection.connect({ address });
  const native = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection: native,
    taskQueue: queue,
    workflowBundle: { code },
    activities: { step: async (ordinal: number) => ordinal },
  });
  const working = worker.run();
  try {
    const client = new Client({ connection });
    for (let i = 0; i < warmUp; i += 1) await timed(client);
    for (let i = 0; i < Math.ceil(aloneAWhole / rounds); i += 1) into.aloneMs.push(await timed(client));
    into.perSecond.push(await underLoad(client));
  } finally {
    worker.shutdown();
    await working;
    await native.close();
    await connection.close();
  }
}

async function timed(client: Client): Promise<number> {
  const from = performance.now();
  await client.workflow.execute<typeof fourSteps>('fourSteps', { taskQueue: queue, workflowId: randomUUID() });
  return performance.now() - from;
}

/** Counts what ends within the window; those still in flight then are waited for and not counted. */
async function underLoad(client: Client): Promise<number> {
  let ended = 0;
  const until = performance.now() + loadSeconds * 1000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        await timed(client);
        if (performance.now() < until) ended += 1;
      }
    }),
  );
  return ended / loadSeconds;
}

Runtime.install({ logger: new DefaultLogger('ERROR') });
const { binary, server } = await findDevServer();
const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('./support/four-steps.ts', import.meta.url)),
  logger: new DefaultLogger('WARN'),
});
const figures: Record<DevServerKind, Figures> = {
  flags: { aloneMs: [], perSecond: [] },
  plain: { aloneMs: [], perSecond: [] },
};
for (let round = 0; round < rounds; round += 1) {
  const order: DevServerKind[] = round % 2 === 0 ? ['plain', 'flags'] : ['flags', 'plain'];
  for (const kind of order) {
    const started = await startDevServer(binary, kind);
    try {
      await measure(started.address, code, figures[kind]);
    } finally {
      await started.stop();
    }
    const { aloneMs, perSecond } = figures[kind];
    process.stderr.write(
      `round ${round + 1} of ${rounds}, ${kind}: alone ${Math.round(median(aloneMs))} ms so far (n ${aloneMs.length}), ${perSecond.at(-1)!.toFixed(1)} workflows/s\n`,
    );
  }
}
const alone = { flags: median(figures.flags.aloneMs), plain: median(figures.plain.aloneMs) };
const perSecond = { flags: median(figures.flags.perSecond), plain: median(figures.plain.perSecond) };
const rounded = (value: number) => Math.round(value * 100) / 100;
process.stdout.write(
  `${JSON.stringify({
    alone_ms: rounded(alone.flags),
    alone_ms_plain: rounded(alone.plain),
    alone_over_plain: rounded(alone.flags / alone.plain),
    workflows_per_s: rounded(perSecond.flags),
    workflows_per_s_plain: rounded(perSecond.plain),
    workflows_per_s_over_plain: rounded(perSecond.flags / perSecond.plain),
    alone_runs: figures.flags.aloneMs.length,
    in_flight: inFlight,
    load_seconds: loadSeconds * rounds,
    rounds,
    server,
  })}\n`,
);
