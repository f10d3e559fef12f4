import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { purchaseWorkflowId } from '../domain/ids.ts';
import { createRandom, type Random } from '../domain/random.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { testFleet } from '../test/support/fleets.ts';
import { type Lab, type LabProcess, openLab, openLabServers, until } from '../test/support/lab.ts';
import { createBenchPayments } from './support/bench-payments.ts';
import { freePorts } from './support/fleet-bench.ts';
import { startLabApi, untilItAnswers } from './support/lab-api.ts';
import { buyAll, within } from './support/purchase-clients.ts';
import { ledgerSum, wrongPurchases } from './support/purchase-judge.ts';
import { overBareTemporal } from './support/purchase-rate.ts';
import { purchaseSabotages } from './support/purchase-sabotage.ts';
import { openBenchShop } from './support/purchase-shop.ts';
import { type Protection, sabotagedSources, wantedProtection } from './support/sabotage.ts';

/**
 * Purchases by credits through the real API and by a provider, 50 in flight, while three workers and the API are killed: each
 * is one license and one sale, or it is undone. Judged from rows by rules of the bench's own. Then, without kills, what a
 * purchase by credits costs over a bare workflow of four activities.
 */
const full = { purchases: 2_000, kills: 30, patienceMs: 180_000 };
const short = { purchases: 240, kills: 3, patienceMs: 45_000 };
const inFlight = 50;
const seed = 20_265;
const fleet = testFleet({ heavy: 0, light: 1, limits: { requestsPerMinute: 1_000_000 } });

const leansOn = Object.keys(purchaseSabotages) as Protection[];

const { values: args } = parseArgs({
  options: {
    sabotage: { type: 'string' },
    purchases: { type: 'string' },
    kills: { type: 'string' },
    // That part alone.
    ratio: { type: 'boolean' },
  },
});
const wanted = wantedProtection(args.sabotage, leansOn);
if (args.ratio === true) {
  const over = await measured();
  report({ over_bare_temporal: over.ratio, purchases_per_s: over.purchases, bare_per_s: over.bare });
  process.exit(over.ratio >= 1.5 ? 0 : 1);
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
    ...full,
    purchases: args.purchases === undefined ? full.purchases : Number(args.purchases),
    kills: args.kills === undefined ? full.kills : Number(args.kills),
  };
  const verdict = await round(size, undefined);
  progress('whole', verdict);
  const over = await measured();
  process.stderr.write(`over bare Temporal: ${JSON.stringify(over)}\n`);
  const caught: Record<string, boolean> = {};
  for (const protection of leansOn) {
    const without = await sabotaged(protection);
    progress(`without ${protection}`, without);
    caught[protection] = isFound(protection, without);
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
  const isClean = verdict.wrong.length === 0 && verdict.stuck === 0 && verdict.ledgerSum === 0;
  process.exitCode = isClean && verdict.kills === size.kills && allCaught && over.ratio >= 1.5 ? 0 : 1;
} else {
  const verdict = await sabotaged(wanted);
  progress(`without ${wanted}`, verdict);
  const { wrong, stuck, ledgerSum: sum } = verdict;
  const caught = isFound(wanted, verdict);
  report({ sabotage: wanted, wrong: wrong.length, stuck, ledger_sum: sum, sabotage_caught: caught });
  process.exitCode = caught ? 0 : 1;
}

function progress(name: string, { wrong, ...verdict }: Verdict): void {
  process.stderr.write(`${name}: ${JSON.stringify({ ...verdict, wrong: wrong.length })}\n`);
  for (const line of wrong.slice(0, 20)) process.stderr.write(`  ${line}\n`);
}

/** The judge has found what this protection prevents, and not only that nothing works. */
function isFound(protection: Protection, { wrong }: Verdict): boolean {
  return wrong.some((line) => purchaseSabotages[protection]!.finding.test(line));
}

function measured() {
  return withLab(undefined, async (lab) => {
    await lab.apply(fleet);
    return overBareTemporal(lab, () => startWorker(lab, 'one', undefined, ['--bare']));
  });
}

async function sabotaged(protection: Protection): Promise<Verdict> {
  const { edits, weaken } = purchaseSabotages[protection]!;
  const copy = sabotagedSources(protection, edits);
  try {
    return await round(short, { folder: copy.folder, weaken });
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
  size: typeof full,
  sabotage: { folder: string; weaken: string | undefined } | undefined,
): Promise<Verdict> {
  return withLab(sabotage?.folder, async (lab) => {
    if (sabotage?.weaken !== undefined) await sql.raw(sabotage.weaken).execute(lab.db);
    return attack(lab, size, sabotage?.folder);
  });
}

async function attack(lab: Lab, size: typeof full, folder: string | undefined): Promise<Verdict> {
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
      db,
      shop,
      purchases: size.purchases,
      inFlight,
      patienceMs: size.patienceMs,
      random: createRandom(seed + 1),
      onAnswer: () => (answered += 1),
    });
    const kills = await attacker;
    const seconds = (performance.now() - startedAt) / 1000;
    const open = await settle(lab);
    const ends = await Promise.all(count.unanswered.map((ask) => ask()));
    await workAgain(lab, random);
    const wrong = await wrongPurchases(db, shop, count.canceled);
    for (let i = 0; i < count.twice; i += 1) wrong.push('a key was answered with two purchases');
    const rows = await db.selectFrom('purchases').select('state').execute();
    if (rows.length !== size.purchases) wrong.push(`${rows.length} purchases of ${size.purchases} keys`);
    return {
      purchases: size.purchases,
      completed: rows.filter(({ state }) => state === 'completed').length,
      canceled: rows.filter(({ state }) => state === 'canceled').length,
      wrong,
      stuck: open + ends.filter((id) => id === undefined).length,
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
  size: typeof full;
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
    // Without its protection a purchase may be there twice.
    .distinctOn('id')
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
        const handle = client.workflow.getHandle(workflowId);
        await within(30_000, async () => (await handle.describe()).status.name !== 'RUNNING');
      }),
  );
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
