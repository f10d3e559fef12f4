import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { createFleetHealthActivities } from '../activities/fleet-health.ts';
import type { FleetView } from '../activities/fleet-view.ts';
import { type Fleet, fleetSchema } from '../domain/fleet.ts';
import { healthEverySeconds, renewEverySeconds } from '../domain/health.ts';
import { createRandom } from '../domain/random.ts';
import { createLogger } from '../observability/logger.ts';
import { createAgentStore } from '../stores/agents.ts';
import { createDatabase, type Database, preparedStatement } from '../stores/database.ts';
import { createHealthStore } from '../stores/health.ts';
import { createMachineStore } from '../stores/machines.ts';
import { type Lab, labOwner, openLab, openLabServers } from '../test/support/lab.ts';
import { cpuSecondsOf, processTree } from '../test/support/processes.ts';
import { keepLease } from '../workers/lease.ts';
import { showPresence } from '../workers/presence.ts';
import { readSchedules } from '../workers/schedule-facts.ts';
import { reconcileSchedules } from '../workers/schedules.ts';

/**
 * What it costs to know that 10,000 agents on 200 machines live: the shipped leases, presence and looks at their shipped pace, on real
 * Postgres and Redis. CPU seconds of this process, which stands for all workers, and of both servers, over seconds that passed.
 * Two baselines, in the same run: as many round trips as there are renewals that do nothing, and a row of each agent's own that it
 * writes as often as we look at it.
 */
const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '10000' },
    machines: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    'baseline-seconds': { type: 'string', default: '20' },
  },
});
const agents = Number(values.agents);
const machines = Number(values.machines);
const naiveEverySeconds = 30;
const renewalsADay = (24 * 3600) / renewEverySeconds;
const nothing = preparedStatement('nothing', 'select 1 as one');
/** What shows in presence: each call that begins and each that ends, of five a reflection, four reflections an agent and day. */
const callEndsASecond = (agents * 5 * 2) / (6 * 3600);
const log = createLogger({ part: 'worker', level: 'warn' });
const idOf = (i: number) => `box-${String(i + 1).padStart(3, '0')}`;

const base = await openLabServers();
try {
  const lab = await openLab(base.addresses, { logs: `${base.folder}/logs` });
  try {
    process.stdout.write(`${JSON.stringify(await measure(lab))}\n`);
  } finally {
    for await (const { scheduleId } of lab.client.schedule.list())
      await lab.client.schedule.getHandle(scheduleId).delete();
    await lab.close();
  }
} finally {
  await base.close();
}

async function measure(lab: Lab) {
  const fleet = fleetOf();
  await lab.apply(fleet);
  await settleIn(lab.db);
  // Workers have a connection or two each; what they cost is their statements, so two carry them all, as a pooler before Postgres
  // would. More would lie idle, and be closed and opened again whenever two renewals meet.
  const db = createDatabase({
    url: base.addresses.databaseUrl,
    name: 'bench',
    connections: 2,
    onIdleError: () => undefined,
  });
  const redis = new Redis(base.addresses.redisUrl);
  try {
    await reconcileSchedules(lab.client, () => Promise.resolve({ fleet } as FleetView), {
      cadences: createAgentStore(db).livingCadences,
      sources: () => Promise.resolve(false),
    });
    const stop = await beat(lab, db, redis);
    // Everyone has joined and been seen twice, so that what is measured is a fleet at its pace.
    await pause(45_000);
    const ours = await shareWhile(Number(values.seconds) * 1000);
    const { rows } = await sql<{ judged: number; alive: number }>`
      select (select count(*) from health where subject_kind = 'agent' and state = 'ok') as judged,
        (select count(*) from machines where lease_until > clock_timestamp() and state = 'ready') as alive`.execute(db);
    await stop();
    const bare = bareRoundTrips(db);
    const least = await shareWhile(Number(values['baseline-seconds']) * 1000);
    await bare.stop();
    const naive = naiveHeartbeats();
    const theirs = await shareWhile(Number(values['baseline-seconds']) * 1000);
    const written = await naive.stop();
    return {
      agents,
      machines,
      cpu_share: fixed(ours.share),
      by_part: { workers: fixed(ours.workers), postgres: fixed(ours.postgres), redis: fixed(ours.redis) },
      seconds: Math.round(ours.seconds),
      agents_ok: rows[0]!.judged,
      machines_alive: rows[0]!.alive,
      cpu_share_of_bare_round_trips: fixed(least.share),
      cpu_share_of_a_row_an_agent: fixed(theirs.share),
      rows_a_second: Math.round(written / theirs.seconds),
    };
  } finally {
    redis.disconnect();
    await db.destroy();
  }
}

/** Leases, presence and the looks of the whole fleet, each by the shipped code. */
async function beat({ client }: Lab, db: Database, redis: Redis): Promise<() => Promise<void>> {
  const store = createMachineStore(db);
  const random = createRandom(7);
  const held: Array<{ lease: Awaited<ReturnType<typeof keepLease>>; presence: { stop(): void }; work(): void }> = [];
  for (let i = 0; i < machines; i += 1) {
    const machineId = idOf(i);
    let running = 0;
    const presence = showPresence({
      redis,
      machineId,
      log,
      read: () => ({ running, sequences: 4, polls: ['inference_12g_light_q4'], idle: [] }),
    });
    const lease = await keepLease({
      machines: store,
      machineId,
      identity: `${machineId}/worker/1`,
      runsAs: 'simulated',
      log,
      polling: () => ({
        polls: ['inference_12g_light_q4'],
        planVersion: 1,
        runsAs: 'simulated',
        quietSeconds: 5,
        diskFree: 0.5,
      }),
      onBeat: () => presence.beat(),
      onLost: () => undefined,
      onSilence: () => undefined,
      onRenewed: () => undefined,
      onHeld: () => undefined,
      onFatal: (err) => {
        throw err;
      },
    });
    held.push({
      lease,
      presence,
      work() {
        running = 1 - running;
        presence.changed();
      },
    });
  }
  // By then the code of a worker is compiled as it stays.
  for (let i = 0; i < renewalsADay; i += 1) await held[i % machines]!.lease.renewNow();
  // Spread over the pace, as machines that were started by hand are.
  for (const { lease } of held) {
    await lease.renewNow();
    await pause((renewEverySeconds * 1000) / machines);
  }
  const activities = createFleetHealthActivities({
    machines: store,
    health: createHealthStore(db),
    schedules: () => readSchedules(client),
  });
  let under = Promise.resolve();
  const working = setInterval(() => held[Math.floor(random.next() * machines)]!.work(), 1000 / callEndsASecond);
  const timer = setInterval(() => {
    under = under.then(async () => {
      await activities.judgeLeases();
      await activities.judgeHealth();
    });
  }, healthEverySeconds * 1000);
  return async () => {
    clearInterval(working);
    clearInterval(timer);
    await under;
    for (const { lease, presence } of held) {
      presence.stop();
      await lease.stop();
    }
  };
}

/** Each machine asks Postgres for nothing, at the pace of renewals: what no way of holding leases can be cheaper than. */
function bareRoundTrips(db: Database) {
  const timers = new Set<NodeJS.Timeout>();
  const asked = new Set<Promise<unknown>>();
  const ask = () => {
    const one = nothing(db, []).finally(() => asked.delete(one));
    asked.add(one);
  };
  const begin = () => {
    ask();
    timers.add(setInterval(ask, renewEverySeconds * 1000));
  };
  for (let i = 0; i < machines; i += 1) timers.add(setTimeout(begin, (i * renewEverySeconds * 1000) / machines));
  return {
    async stop(): Promise<void> {
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(asked);
    },
  };
}

/** A row of its own for each agent, written by itself. */
function naiveHeartbeats() {
  const db = createDatabase({
    url: base.addresses.databaseUrl,
    name: 'naive',
    connections: 8,
    onIdleError: () => undefined,
  });
  let written = 0;
  let stopped = false;
  const everyMs = (naiveEverySeconds * 1000) / (agents / 8);
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let next = performance.now(), i = writer; !stopped; next += everyMs, i = (i + 8) % agents) {
      await sql`insert into agent_heartbeats (agent_id, seen_at) values (${`light-${i}`}, clock_timestamp())
        on conflict (agent_id) do update set seen_at = excluded.seen_at`.execute(db);
      written += 1;
      await pause(Math.max(0, next - performance.now()));
    }
  });
  return {
    async stop(): Promise<number> {
      stopped = true;
      await Promise.all(writers);
      await db.destroy();
      return written;
    },
  };
}

/** Homes and last runs, so that all are well; and the table of the baseline. */
async function settleIn(db: Database): Promise<void> {
  // They have been there for long: who has just been changed is looked at once more.
  await sql`update agents set changed_at = now() - interval '1 day', home_machine_id = 'box-' || lpad((1 + (('x' || substr(md5(id), 1, 6))::bit(24)::int % ${machines}))::text, 3, '0')`.execute(
    db,
  );
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens, created_at, ended_at)
    select 'run_' || a.id || n, ${labOwner}, a.id, 'w' || a.id || n, 'schedule', n::text, 'done', 'light_q4', 'light_q4', 'q', 1,
      now() - make_interval(hours => 6 * n), now() - make_interval(hours => 6 * n) from agents a cross join generate_series(0, 3) n`.execute(
    db,
  );
  await sql`delete from intents`.execute(db);
  await sql`create table agent_heartbeats (agent_id text primary key, seen_at timestamptz not null)`.execute(db);
  await sql`insert into agent_heartbeats select 'light-' || n, now() from generate_series(0, ${agents - 1}) n`.execute(
    db,
  );
  await sql`vacuum analyze`.execute(db);
}

async function shareWhile(ms: number) {
  const treeOf = (name: string) => processTree(base.servers.list().find((part) => part.name === name)!.pid!);
  const own = () => {
    const { user, system } = process.cpuUsage();
    return { workers: (user + system) / 1e6, at: performance.now() / 1000 };
  };
  const servers = () => ({
    postgres: cpuSecondsOf(treeOf('postgres')),
    redis: cpuSecondsOf(treeOf('redis')),
  });
  // Listing the servers' processes is work of the bench: it is done before and after.
  const before = { ...servers(), ...own() };
  await pause(ms);
  const after = { ...own(), ...servers() };
  const seconds = after.at - before.at;
  const part = (name: 'workers' | 'postgres' | 'redis') => (after[name] - before[name]) / seconds;
  const shares = { workers: part('workers'), postgres: part('postgres'), redis: part('redis') };
  return { ...shares, share: shares.workers + shares.postgres + shares.redis, seconds };
}

function fleetOf(): Fleet {
  return fleetSchema.parse({
    version: 1,
    name: 'bench',
    machines: Array.from({ length: machines }, (_, i) => ({
      id: idOf(i),
      gpus: [{ name: 'RTX 3060', class: '12g', vramGiB: 12 }],
      modelServer: { kind: 'openai', sequences: 4 },
      ...(i < 2 ? { roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 1 } } } : {}),
    })),
    models: [
      {
        id: 'light',
        family: 'bench',
        layers: 32,
        queryHeads: 32,
        kvHeads: 4,
        headSize: 64,
        context: { reflect: 8192, talk: 8192 },
        quantisations: { q4: { fileGiB: 2, rates: { '12g': { tokensPerSecond: 22, slowdown: 0.05 } } } },
      },
    ],
    archetypes: [
      {
        id: 'light',
        count: agents,
        summary: 'works on the small model',
        traits: ['steady'],
        maskSeed: 1,
        cadence: '6h',
        model: 'light_q4',
        leastClass: '8g',
        mayDegrade: false,
        tokensPerDay: 100_000,
      },
    ],
  });
}

function fixed(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
