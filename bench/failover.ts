import { parseArgs } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { fleetAgents } from '../domain/fleet.ts';
import { personaOf } from '../domain/personas.ts';
import { type Lab, type LabProcess, openLab, openLabServers, until } from '../test/support/lab.ts';
import { openTcpHop, type TcpHop } from '../test/support/tcp-hop.ts';
import { failoverBound } from './support/failover-bound.ts';
import { failoverFleet, failoverTokens } from './support/failover-fleet.ts';
import {
  databaseSeconds,
  type Fault,
  judge,
  medianOrNull,
  residencyOf,
  type Verdict,
  workDone,
} from './support/failover-judge.ts';
import {
  benchMemories,
  benchSpeed,
  type BenchMachine,
  type BenchModelServer,
  capacity,
  freePorts,
  startBenchModelServer,
} from './support/fleet-bench.ts';
import { type Edit, protections, type Protection, sabotagedSources } from './support/sabotage.ts';

/**
 * Machines lost in mid-cycle, by real signals to real processes, under the shipped sweep, workers and adapter; only the
 * model servers are doubles. Judged from rows and events: nothing lost, nothing twice, nothing degraded without need.
 */
const speed = benchSpeed;
const seed = 20_261;
/** What this bench leans on: results under a passed epoch are refused, and a step has one result. */
const leansOn: readonly Protection[] = ['fence', 'unique'];

interface Round {
  kind: Fault['kind'];
  machineId: BenchMachine;
  /** Seconds; of `late` those after it was judged lost. */
  away: number;
}

const round = (kind: Fault['kind'], machineId: BenchMachine, away: number): Round => ({ kind, machineId, away });
const rounds: Round[] = [
  round('kill', 'mainpc', 40),
  round('kill', 'mainpc', 10),
  round('stop', 'mainpc', 40),
  round('kill', 'pc2', 10),
  round('server', 'mainpc', 10),
  round('kill', 'mainpc', 40),
  round('stop', 'pc2', 10),
  round('saturated', 'mainpc', 0),
  round('kill', 'mainpc', 10),
  round('stop', 'mainpc', 10),
  round('kill', 'mainpc', 40),
  round('server', 'mainpc', 40),
  round('kill', 'pc2', 40),
  round('late', 'mainpc', 1),
  round('kill', 'mainpc', 10),
  round('kill', 'mainpc', 40),
  round('stop', 'pc2', 40),
  round('server', 'mainpc', 10),
  round('kill', 'mainpc', 40),
  round('stop', 'mainpc', 10),
];

/**
 * Where the protections bite. A freeze shorter than the lease keeps the epoch, so only the unique key guards: on the small
 * machine, whose calls the other one can begin again meanwhile. A machine that wakes after a longer one mostly hears that its
 * lease is lost before it stores anything; what it had sent before it froze is left to the fence alone.
 */
const sabotagedRounds: Partial<Record<Protection, Round[]>> = {
  unique: [round('stop', 'pc2', 8), round('stop', 'pc2', 8)],
  fence: [round('late', 'mainpc', 1), round('late', 'pc2', 1)],
};

const edits: Partial<Record<Protection, Edit[]>> = {
  fence: [{ file: 'stores/step-results.ts', from: 'and epoch = ${epoch} for share', to: 'for share' }],
  unique: [{ file: 'stores/step-results.ts', from: 'on conflict (work_id, step) do nothing', to: '' }],
};

const { values: args } = parseArgs({ options: { sabotage: { type: 'string' }, rounds: { type: 'string' } } });
if (args.sabotage !== undefined && !(protections as readonly string[]).includes(args.sabotage)) {
  process.stderr.write(`--sabotage takes one of ${protections.join(', ')}\n`);
  process.exit(2);
}
if (args.sabotage !== undefined && !leansOn.includes(args.sabotage as Protection)) {
  process.stderr.write(`this bench does not lean on ${args.sabotage}; it leans on ${leansOn.join(' and ')}\n`);
  process.exit(2);
}

if (args.sabotage !== undefined) {
  const result = await sabotaged(args.sabotage as Protection);
  report({ sabotage: args.sabotage, twice: result.twice, sabotage_caught: result.twice > 0 });
  process.exitCode = result.twice > 0 ? 0 : 1;
} else {
  const planned = rounds.slice(0, args.rounds === undefined ? rounds.length : Number(args.rounds));
  const results = await inLab(undefined, (setup) => runRounds(setup, planned));
  const sum = (pick: (verdict: Verdict) => number) =>
    results.reduce((total, result) => total + pick(result.verdict), 0);
  const climbed = (pick: (verdict: Verdict) => number) => results.filter((result) => pick(result.verdict) > 0).length;
  const rungs = {
    moved: climbed((v) => v.moved),
    degraded: climbed((v) => v.degraded),
    parked: climbed((v) => v.parkedFinished),
  };
  const caught: boolean[] = [];
  for (const protection of args.rounds === undefined ? leansOn : [])
    caught.push((await sabotaged(protection)).twice > 0);
  const ratio = (kind: Fault['kind']) =>
    medianOrNull(results.filter((result) => result.kind === kind).map((result) => result.overBound));
  const killed = results.filter((result) => result.kind === 'kill').map((result) => result.verdict);
  // A round's restart is that of its first victim, as the design counts it; every victim's is printed beside it.
  const first = killed.flatMap(({ restarts }) => (restarts.length === 0 ? [] : [Math.min(...restarts)]));
  const spread = (restarts: readonly number[]) => ({
    median: medianOrNull(restarts),
    worst: medianOrNull([Math.max(0, ...restarts)]),
  });
  report({
    rounds: results.length,
    lost: sum((v) => v.lost),
    twice: sum((v) => v.twice),
    false_degraded: sum((v) => v.falseDegraded),
    parked_unfinished: sum((v) => v.parkedUnfinished),
    restart_after_s_median: medianOrNull(first),
    every_restart_after_s: spread(killed.flatMap(({ restarts }) => restarts)),
    every_restart_after_plan_s: spread(killed.flatMap(({ restartsWherePlanned }) => restartsWherePlanned)),
    makespan_over_bound_after_loss: ratio('kill'),
    frozen: {
      makespan_over_bound: ratio('stop'),
      restart_after_s_median: medianOrNull(results.filter((r) => r.kind === 'stop').flatMap((r) => r.verdict.restarts)),
    },
    model_server: { makespan_over_bound: ratio('server') },
    regenerated: sum((v) => v.regenerated),
    rounds_that_climbed: rungs,
    runs_moved: sum((v) => v.moved),
    runs_degraded: sum((v) => v.degraded),
    runs_parked_and_finished: sum((v) => v.parkedFinished),
    sabotage_caught: caught.length === leansOn.length && caught.every(Boolean),
  });
  const broken = sum((v) => v.lost + v.twice + v.falseDegraded + v.parkedUnfinished) > 0;
  const unreached = Object.values(rungs).some((count) => count < Math.ceil(results.length / 4));
  const uncaught = caught.some((each) => !each);
  if (broken || (args.rounds === undefined && (unreached || uncaught))) process.exitCode = 1;
}

interface Setup {
  lab: Lab;
  servers: Record<BenchMachine, BenchModelServer>;
  workers: Record<BenchMachine, LabProcess>;
  /** Between each worker and the database. */
  networks: Record<BenchMachine, TcpHop>;
  urls: Record<BenchMachine, string>;
  agents: number;
}

async function inLab<Result>(sources: string | undefined, use: (setup: Setup) => Promise<Result>): Promise<Result> {
  const base = await openLabServers();
  const lab = await openLab(base.addresses, {
    logs: `${base.folder}/logs`,
    workerLogLevel: 'warn',
    ...(sources === undefined ? {} : { sources }),
  });
  const { host } = new URL(lab.addresses.databaseUrl);
  const networks = { mainpc: await openTcpHop(host), pc2: await openTcpHop(host) };
  try {
    const [mainPort, pc2Port] = await freePorts(2);
    const servers = {
      mainpc: await startBenchModelServer(lab, 'mainpc', {
        speed,
        models: ['heavy_q4', 'mid_q4', 'light_q4'],
        port: mainPort!,
      }),
      pc2: await startBenchModelServer(lab, 'pc2', { speed, models: ['mid_q4', 'light_q4'], port: pc2Port! }),
    };
    const urls = { mainpc: servers.mainpc.url, pc2: servers.pc2.url };
    const fleet = failoverFleet(urls);
    const tokens = failoverTokens(fleet, seed);
    const agents = fleetAgents(fleet);
    const tokensByAgent = Object.fromEntries(agents.map((agent) => [personaOf(agent).name, tokens.get(agent.id)!]));
    await Promise.all(Object.values(servers).map((server) => server.control({ tokensByAgent })));
    await lab.apply(fleet);
    await lab.remember(
      benchMemories(
        agents.map((agent) => agent.id),
        0,
      ),
    );
    await sql`
      update agents set expected_tokens = new.tokens
      from unnest(${[...tokens.keys()]}::text[], ${[...tokens.values()]}::int[]) as new (id, tokens) where agents.id = new.id`.execute(
      lab.db,
    );
    const begun = { lab, networks };
    const workers = { mainpc: startWorker(begun, 'mainpc'), pc2: startWorker(begun, 'pc2') };
    await lab.settled(['mainpc', 'pc2']);
    return await use({ lab, servers, workers, networks, urls, agents: agents.length });
  } finally {
    await lab.close();
    for (const network of Object.values(networks)) await network.close();
    await base.close();
  }
}

async function runRounds(setup: Setup, planned: readonly Round[]) {
  const results: Array<Round & { verdict: Verdict; overBound: number }> = [];
  for (const [index, each] of planned.entries()) {
    const result = { ...each, ...(await runRound(setup, each, `round-${index + 1}`)) };
    results.push(result);
    report({
      round: index + 1,
      ...each,
      makespan_s: fixed(result.makespan),
      bound_s: fixed(result.bound),
      over_bound: fixed(result.overBound),
      ...result.verdict,
    });
  }
  return results;
}

async function runRound(setup: Setup, { kind, machineId, away }: Round, id: string) {
  const { lab, agents } = setup;
  await lab.settled(['mainpc', 'pc2'], 90_000);
  // A plan moves least, so what an earlier round has moved would stay where it is: each round begins from the same plan.
  await lab.apply(failoverFleet(setup.urls, {}, { midStaysHome: true }));
  await lab.settled(['mainpc', 'pc2'], 90_000);
  await lab.apply(failoverFleet(setup.urls));
  await lab.settled(['mainpc', 'pc2'], 90_000);
  if (kind === 'saturated') {
    // A backlog of four times the slots and an impatient queue: the rung must ask, and stay.
    await lab.apply(failoverFleet(setup.urls, { windowOverSlots: 4, scheduleToStart: '2s' }));
    await lab.settled(['mainpc', 'pc2']);
  }
  const period = `call-${id}`;
  const startedAt = await databaseSeconds(lab);
  const handle = await lab.sweep(id);
  await pause(9_000);
  const fault: Fault = { kind, machineId, at: await databaseSeconds(lab), backAt: 0 };
  await strike(setup, kind, machineId, away);
  fault.backAt = await databaseSeconds(lab);
  await handle.result();
  await until(
    `all runs of ${id} ended`,
    async () => {
      const { rows } = await sql<{
        open: number;
      }>`select count(*) as open from runs where period = ${period} and ended_at is null`.execute(lab.db);
      return rows[0]!.open === 0;
    },
    180_000,
  );
  const { rows } = await sql<{
    at: number;
  }>`select extract(epoch from max(ended_at))::float8 as at from runs where period = ${period}`.execute(lab.db);
  const makespan = rows[0]!.at - startedAt;
  const outages = kind === 'saturated' ? [] : [{ machineId, from: fault.at - startedAt, to: fault.backAt - startedAt }];
  const residency = await residencyOf(lab, startedAt);
  const bound = failoverBound({
    work: await workDone(lab, period),
    capacity: { mainpc: capacity('mainpc', speed), pc2: capacity('pc2', speed) },
    outages,
    residency,
  });
  const verdict = await judge(lab, period, fault, agents, startedAt, residency);
  if (kind === 'saturated') await lab.apply(failoverFleet(setup.urls));
  return { verdict, makespan, bound, overBound: makespan / bound };
}

/** Takes the machine away and brings it back; returns when it is told to come back. */
async function strike(setup: Setup, kind: Fault['kind'], machineId: BenchMachine, away: number): Promise<void> {
  const { workers, servers, networks, lab } = setup;
  if (kind === 'saturated') return;
  if (kind === 'server') {
    await servers[machineId].control({ fault: { kind: 'down', forMs: away * 1000 } });
    await pause(away * 1000);
    return;
  }
  if (kind === 'late') {
    const network = networks[machineId];
    const epoch = await epochOf(lab, machineId);
    await until(`${machineId} has calls in hand`, () => hasBegun(lab, machineId), 60_000);
    network.hold();
    await until(`a result of ${machineId} is on its way`, async () => network.holds('into step_results'), 60_000);
    workers[machineId].signal('SIGSTOP');
    await until(`${machineId} is judged lost`, async () => (await epochOf(lab, machineId)) > epoch, 60_000);
    await pause(away * 1000);
    network.letThrough();
    workers[machineId].signal('SIGCONT');
    return;
  }
  if (kind === 'stop') {
    workers[machineId].signal('SIGSTOP');
    await pause(away * 1000);
    workers[machineId].signal('SIGCONT');
    return;
  }
  await workers[machineId].end('SIGKILL');
  await pause(away * 1000);
  workers[machineId] = startWorker(setup, machineId);
}

/** Its way to the database can be held. */
function startWorker({ lab, networks }: Pick<Setup, 'lab' | 'networks'>, machineId: BenchMachine): LabProcess {
  const url = new URL(lab.addresses.databaseUrl);
  url.host = networks[machineId].address;
  return lab.startWorker(machineId, { DATABASE_URL: url.href });
}

/** Whether it has begun a call within the last seconds. */
async function hasBegun(lab: Lab, machineId: BenchMachine): Promise<boolean> {
  const { rows } = await sql<{ begun: boolean }>`
    select exists (select from events where type = 'run.working' and data->>'machineId' = ${machineId}
      and at > clock_timestamp() - interval '5 seconds') as begun`.execute(lab.db);
  return rows[0]!.begun;
}

async function epochOf(lab: Lab, machineId: BenchMachine): Promise<bigint> {
  const { rows } = await sql<{
    epoch: string;
  }>`select epoch::text as epoch from machines where id = ${machineId}`.execute(lab.db);
  return BigInt(rows[0]!.epoch);
}

/** Short rounds with a protection taken out of a copy of the sources: the figure it guards must not stay at zero. */
async function sabotaged(protection: Protection): Promise<{ twice: number }> {
  const copy = sabotagedSources(protection, edits[protection] ?? []);
  try {
    return await inLab(copy.folder, async (setup) => {
      if (protection === 'unique')
        await sql`alter table step_results drop constraint step_results_pkey`.execute(setup.lab.db);
      const results = await runRounds(setup, sabotagedRounds[protection] ?? []);
      return { twice: results.reduce((sum, { verdict }) => sum + verdict.twice, 0) };
    });
  } finally {
    copy.remove();
  }
}

function fixed(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
