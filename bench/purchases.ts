import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { purchaseWorkflowId } from '../domain/ids.ts';
import { createRandom, type Random } from '../domain/random.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { newId } from '../stores/ids.ts';
import { testFleet } from '../test/support/fleets.ts';
import { type Lab, type LabProcess, openLab, openLabServers, until } from '../test/support/lab.ts';
import { createBenchPayments } from './support/bench-payments.ts';
import { freePorts, median } from './support/fleet-bench.ts';
import { startLabApi, untilItAnswers } from './support/lab-api.ts';
import { buyAll, hasEnded, startOf } from './support/purchase-clients.ts';
import { ledgerSum, wrongPurchases } from './support/purchase-judge.ts';
import { type BenchShop, openBenchShop } from './support/purchase-shop.ts';
import { type Edit, protections, type Protection, sabotagedSources } from './support/sabotage.ts';

/**
 * Purchases by credits through the real API and by a provider, 50 in flight, while three workers and the API are killed: each
 * is one license and one sale, or it is undone. Judged from rows by rules of the bench's own. Then, without kills, what a
 * purchase by credits costs over a bare workflow of four activities.
 */
const full = { purchases: 2_000, kills: 30 };
const short = { purchases: 240, kills: 3 };
const inFlight = 50;
const seed = 20_265;
const fleet = testFleet({ heavy: 0, light: 1, limits: { requestsPerMinute: 1_000_000 } });
const ratio = { rounds: 5, each: 300, pieces: 3, inFlight: 20 };

/** What each protection is in the sources, and in the database what stands behind it. */
const edits: Partial<Record<Protection, Edit[]>> = {
  // A request that is sent again.
  idempotency: [
    {
      file: 'api/workflow-starts.ts',
      from: "if (typeof key !== 'string') return v7();",
      to: 'if (key !== null) return v7();',
    },
  ],
  // A step that is done again.
  unique: [
    { file: 'stores/purchases.ts', from: 'if (!row) return undefined;', to: 'if (row !== null) return undefined;' },
    {
      file: 'stores/purchases.ts',
      from: "    .onConflict((conflict) => conflict.column('id').doNothing())\n    .returning('id')",
      to: "    .returning('id')",
    },
  ],
  // A payment that is refused after the license was issued.
  compensation: [
    {
      file: 'workflows/purchase-license.ts',
      from: 'for (const { name, undo } of undos) await untilDone(name, undo);',
      to: '',
    },
  ],
};
const constraints: Partial<Record<Protection, string>> = {
  unique: `alter table purchases drop constraint purchases_pkey cascade;
    alter table purchases drop constraint purchases_license_id_key`,
};
const leansOn = Object.keys(edits) as Protection[];

const { values: args } = parseArgs({
  options: { sabotage: { type: 'string' }, purchases: { type: 'string' }, kills: { type: 'string' } },
});
const wanted = args.sabotage as Protection | undefined;
if (wanted !== undefined && !leansOn.includes(wanted)) {
  const known = (protections as readonly string[]).includes(wanted);
  process.stderr.write(
    known
      ? `this bench leans on ${leansOn.join(', ')}, not on ${wanted}\n`
      : `--sabotage takes one of ${leansOn.join(', ')}\n`,
  );
  process.exit(2);
}

interface Verdict {
  purchases: number;
  completed: number;
  canceled: number;
  wrong: string[];
  stuck: number;
  ledgerSum: number;
  kills: number;
  seconds: number;
}

if (wanted === undefined) {
  const size = {
    purchases: args.purchases === undefined ? full.purchases : Number(args.purchases),
    kills: args.kills === undefined ? full.kills : Number(args.kills),
  };
  const verdict = await round(size, undefined);
  progress('whole', verdict);
  const over = await overBareTemporal();
  process.stderr.write(`over bare Temporal: ${JSON.stringify(over)}\n`);
  const caught: Record<string, boolean> = {};
  for (const protection of leansOn) {
    const without = await sabotaged(protection);
    progress(`without ${protection}`, without);
    caught[protection] = isCaught(without);
  }
  const allCaught = Object.values(caught).every(Boolean);
  report({
    purchases: verdict.purchases,
    kills: verdict.kills,
    wrong: verdict.wrong.length,
    stuck: verdict.stuck,
    ledger_sum: verdict.ledgerSum,
    over_bare_temporal: over.ratio,
    sabotage_caught: allCaught,
    sabotages: caught,
    completed: verdict.completed,
    canceled: verdict.canceled,
    seconds: verdict.seconds,
    purchases_per_s: over.purchases,
    bare_per_s: over.bare,
  });
  process.exitCode = !isCaught(verdict) && allCaught && over.ratio >= 1.5 ? 0 : 1;
} else {
  const verdict = await sabotaged(wanted);
  progress(`without ${wanted}`, verdict);
  const { wrong, stuck, ledgerSum: sum } = verdict;
  report({ sabotage: wanted, wrong: wrong.length, stuck, ledger_sum: sum, sabotage_caught: isCaught(verdict) });
  process.exitCode = isCaught(verdict) ? 0 : 1;
}

function progress(name: string, { wrong, ...verdict }: Verdict): void {
  process.stderr.write(`${name}: ${JSON.stringify({ ...verdict, wrong: wrong.length })}\n`);
  for (const line of wrong.slice(0, 20)) process.stderr.write(`  ${line}\n`);
}

function isCaught({ wrong, stuck, ledgerSum: sum }: Verdict): boolean {
  return wrong.length > 0 || stuck > 0 || sum !== 0;
}

async function sabotaged(protection: Protection): Promise<Verdict> {
  const copy = sabotagedSources(protection, edits[protection]!);
  try {
    return await round(short, { folder: copy.folder, weaken: constraints[protection] });
  } finally {
    copy.remove();
  }
}

async function withLab<Result>(folder: string | undefined, work: (lab: Lab) => Promise<Result>): Promise<Result> {
  const base = await openLabServers();
  const logs = mkdtempSync(join(tmpdir(), 'soulfra-purchases-'));
  const sources = folder === undefined ? {} : { sources: folder };
  const lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn', ...sources });
  try {
    await createBenchPayments(lab.db);
    return await work(lab);
  } finally {
    await lab.close();
    await base.close();
    rmSync(logs, { recursive: true, force: true });
  }
}

function round(
  size: { purchases: number; kills: number },
  sabotage: { folder: string; weaken: string | undefined } | undefined,
): Promise<Verdict> {
  return withLab(sabotage?.folder, async (lab) => {
    if (sabotage?.weaken !== undefined) await sql.raw(sabotage.weaken).execute(lab.db);
    return attack(lab, size, sabotage?.folder);
  });
}

async function attack(
  lab: Lab,
  size: { purchases: number; kills: number },
  folder: string | undefined,
): Promise<Verdict> {
  const { db, client } = lab;
  await lab.apply(fleet);
  // Every fifth buyer has credits for a few purchases alone.
  const shop = await openBenchShop(lab, 40, (i) => (i % 5 === 0 ? 5_000 : 10_000_000));
  const [port = 0] = await freePorts(1);
  const worker = (name: string) => () => startWorker(lab, name, folder);
  const start: Record<string, () => LabProcess> = {
    first: worker('first'),
    second: worker('second'),
    third: worker('third'),
    api: () => startLabApi(lab, port, folder),
  };
  const processes = Object.fromEntries(Object.entries(start).map(([name, begin]) => [name, begin()]));
  const url = `http://127.0.0.1:${port}`;
  await untilItAnswers(url);
  let answered = 0;
  const startedAt = performance.now();
  const ended = new AbortController();
  const random = createRandom(seed);
  const attacker = strike({ size, answered: () => answered, processes, start, random, ended: ended.signal });
  try {
    const count = await buyAll({
      url,
      client,
      shop,
      purchases: size.purchases,
      inFlight,
      random: createRandom(seed + 1),
      onAnswer: () => (answered += 1),
    });
    const kills = await attacker;
    const seconds = (performance.now() - startedAt) / 1000;
    const open = await settle(lab);
    await workAgain(lab, random);
    const wrong = await wrongPurchases(db, shop);
    for (let i = 0; i < count.twice; i += 1) wrong.push('a key was answered with two purchases');
    const rows = await db.selectFrom('purchases').select('state').execute();
    if (rows.length !== size.purchases) wrong.push(`${rows.length} purchases of ${size.purchases} keys`);
    return {
      purchases: size.purchases,
      completed: rows.filter(({ state }) => state === 'completed').length,
      canceled: rows.filter(({ state }) => state === 'canceled').length,
      wrong,
      stuck: open + count.unanswered,
      ledgerSum: await ledgerSum(db),
      kills,
      seconds: Math.round(seconds),
    };
  } finally {
    ended.abort();
    await Promise.allSettled([attacker]);
  }
}

function startWorker(lab: Lab, name: string, folder: string | undefined, more: string[] = []): LabProcess {
  const { addresses } = lab;
  const env = {
    DATABASE_URL: addresses.databaseUrl,
    TEMPORAL_ADDRESS: addresses.temporalAddress,
    TEMPORAL_NAMESPACE: addresses.namespace,
  };
  return lab.startProcess(name, ['test/support/purchase-worker-process.ts', '--name', name, ...more], env, folder);
}

/** SIGKILL to a process at random, at random moments of the whole run; each is started again at once. */
async function strike(run: {
  size: { purchases: number; kills: number };
  answered: () => number;
  processes: Record<string, LabProcess>;
  start: Record<string, () => LabProcess>;
  random: Random;
  ended: AbortSignal;
}): Promise<number> {
  const { size, processes, start, random } = run;
  const names = Object.keys(start);
  const due = Array.from({ length: size.kills }, (_, i) => ((i + random.next()) * size.purchases * 0.95) / size.kills);
  let kills = 0;
  for (const at of due) {
    while (run.answered() < at && !run.ended.aborted) await pause(10);
    await pause(random.int(300));
    const name = names[random.int(names.length)]!;
    await processes[name]!.end('SIGKILL');
    processes[name] = start[name]!();
    kills += 1;
  }
  return kills;
}

/** Waits until all have ended. @returns how many have not */
async function settle({ db, client }: Lab): Promise<number> {
  const open = async () => {
    const { rows } = await sql<{ open: number }>`
      select count(*)::int as open from purchases where ended_at is null`.execute(db);
    const { count } = await client.workflow.count("WorkflowType = 'purchaseLicense' and ExecutionStatus = 'Running'");
    return Math.max(rows[0]!.open, count);
  };
  await until('every purchase has ended', async () => (await open()) === 0, 180_000).catch(() => undefined);
  return open();
}

/** Some that have ended are worked on once more, as after Temporal has forgotten their ids. */
async function workAgain({ db, client }: Lab, random: Random): Promise<void> {
  const rows = await db
    .selectFrom('purchases')
    .select(['id', 'ownerId', 'listingId', 'licenseKind', 'payment', 'requestHash', 'madeBy'])
    .where('state', '=', 'completed')
    .orderBy('id')
    .execute();
  await Promise.all(
    random
      .shuffle(rows)
      .slice(0, 20)
      .map(async ({ id, requestHash, ...row }) => {
        const workflowId = `${purchaseWorkflowId(id)}:again`;
        await client.workflow.start('purchaseLicense', {
          workflowId,
          taskQueue: coordinationQueue,
          workflowTaskTimeout: '2 seconds',
          args: [{ ...row, purchaseId: id, requestHash: requestHash.toString('hex') }],
        });
        // Sources that were sabotaged may not come to an end; what they have done is judged all the same.
        await hasEnded(client, workflowId, 30_000);
      }),
  );
}

/** Both kinds of workflows by one worker process of equal weights, in turn, without kills. */
function overBareTemporal(): Promise<{ ratio: number; purchases: number; bare: number }> {
  return withLab(undefined, async (lab) => {
    await lab.apply(fleet);
    const shop = await openBenchShop(lab, 40, () => 100_000_000);
    startWorker(lab, 'one', undefined, ['--bare']);
    const kinds = {
      purchases: (i: number) => buyOnce(lab, shop, i),
      bare: () =>
        lab.client.workflow.execute('fourSteps', {
          taskQueue: 'four_steps',
          workflowId: newId('request'),
          workflowTaskTimeout: '2 seconds',
        }),
    };
    const rates: Record<keyof typeof kinds, number[]> = { purchases: [], bare: [] };
    for (const work of Object.values(kinds)) await perSecond(40, work);
    for (let turn = 0; turn < ratio.rounds; turn += 1) {
      // In short pieces, one after the other, so that whatever else the box does meets both.
      const seconds = { purchases: 0, bare: 0 };
      for (let piece = 0; piece < ratio.pieces; piece += 1) {
        const order = piece % 2 === turn % 2 ? (['bare', 'purchases'] as const) : (['purchases', 'bare'] as const);
        const each = ratio.each / ratio.pieces;
        for (const kind of order) seconds[kind] += each / (await perSecond(each, kinds[kind]));
      }
      for (const kind of ['bare', 'purchases'] as const) rates[kind].push(ratio.each / seconds[kind]);
      const last = `${rates.purchases.at(-1)!.toFixed(1)} and ${rates.bare.at(-1)!.toFixed(1)}`;
      process.stderr.write(`turn ${turn + 1} of ${ratio.rounds}: ${last} a second\n`);
    }
    const each = rates.purchases.map((rate, i) => rate / rates.bare[i]!);
    const rounded = (value: number) => Math.round(value * 100) / 100;
    return {
      ratio: rounded(median(each)),
      purchases: rounded(median(rates.purchases)),
      bare: rounded(median(rates.bare)),
    };
  });
}

async function buyOnce({ client }: Lab, { buyers, listings }: BenchShop, i: number): Promise<void> {
  const start = startOf(newId('purchase'), buyers[i % buyers.length]!, listings[i % listings.length]!, 'credits');
  const { state } = (await client.workflow.execute('purchaseLicense', start)) as { state: string };
  if (state !== 'completed') throw new Error(`a purchase is ${state}`);
}

/** So many workflows from first start to last end, so many of them in flight. */
async function perSecond(each: number, work: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const from = performance.now();
  await Promise.all(
    Array.from({ length: ratio.inFlight }, async () => {
      while (next < each) {
        next += 1;
        await work(next);
      }
    }),
  );
  return (each * 1000) / (performance.now() - from);
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
