import { sql } from 'kysely';
import type { Lab } from '../../test/support/lab.ts';
import type { FailoverModel } from './failover-fleet.ts';
import { type BenchMachine, cards, median } from './fleet-bench.ts';
import type { Residency } from './failover-bound.ts';

/** What one round did, read from the rows and events it left behind. */
export interface Verdict {
  lost: number;
  twice: number;
  falseDegraded: number;
  parkedUnfinished: number;
  regenerated: number;
  moved: number;
  degraded: number;
  parkedFinished: number;
  /**
   * Of each victim, a call in hand of the machine when it was lost: seconds from the later of its heartbeat time-out and
   * the first free sequence of the machine that took it over until it began again.
   */
  restarts: number[];
  /**
   * The same, where a machine has sequences for a model only from the plan that gives it the model, and for a smaller
   * one than the agent's only from the verdict that the machine is lost: before that nobody may begin it.
   */
  restartsWherePlanned: number[];
}

export interface Fault {
  /** late: frozen while results of its own are on their way to the database; they arrive, and it goes on, once it was judged lost. */
  kind: 'kill' | 'stop' | 'late' | 'server' | 'saturated';
  machineId: BenchMachine;
  /** Database clock, epoch seconds. */
  at: number;
  backAt: number;
}

/** A bump and a result that are both under way at once are told apart only down to this. */
const clockTolerance = 0.25;
const heartbeatTimeout = 2;

export async function databaseSeconds(lab: Lab): Promise<number> {
  const { rows } = await sql<{ now: number }>`select extract(epoch from clock_timestamp())::float8 as now`.execute(
    lab.db,
  );
  return rows[0]!.now;
}

export async function judge(
  lab: Lab,
  period: string,
  fault: Fault,
  agents: number,
  startedAt: number,
  residency: readonly Residency[],
): Promise<Verdict> {
  const { rows: runs } = await sql<{
    id: string;
    agentId: string;
    state: string;
    degraded: boolean;
    wanted: string;
    reflections: number;
    stored: number;
    /** Of its steps the most results that one has. */
    results: number | null;
    by: string | null;
  }>`
    select r.id, r.agent_id, r.state, r.degraded, r.wanted_model_id as wanted, r.reflections,
      (select count(*) from reflections f where f.run_id = r.id) as stored,
      (select max(same.n) from (select count(*) as n from step_results s where s.work_id = r.id group by s.step) same) as results,
      (select s.machine_id from step_results s where s.work_id = r.id and s.step = 'insights' limit 1) as by
    from runs r where r.period = ${period}`.execute(lab.db);
  const byId = new Map(runs.map((run) => [run.id, run]));
  const { rows: events } = await sql<{
    type: string;
    subject: string;
    data: { machineId?: string; modelId?: string; degraded?: boolean };
    at: number;
  }>`
    select type, subject, data, extract(epoch from at)::float8 as at from events
    where type in ('run.working', 'run.moved', 'run.parked', 'run.done') and subject = any(${runs.map((run) => run.id)}) order by id`.execute(
    lab.db,
  );
  const of = (type: string) => events.filter((event) => event.type === type);

  const starts = of('run.working');
  const parked = new Set(of('run.parked').map((event) => event.subject));
  const done = (run: { state: string }) => run.state === 'done';
  const doneAgents = new Map<string, number>();
  for (const run of runs.filter(done)) doneAgents.set(run.agentId, (doneAgents.get(run.agentId) ?? 0) + 1);
  const lostTo = await lostSpans(lab, fault.at - 60);
  const rightly = (at: number) => lostTo.some((span) => span.from <= at && at <= span.to);
  // Only a plan made after the fault counts as having moved the model.
  const heldBefore = residency.some(
    (held) => held.machineId === 'pc2' && held.modelId === 'mid_q4' && held.from <= 0 && held.to > 0,
  );
  return {
    lost: agents - doneAgents.size,
    twice:
      runs.filter((run) => (run.results ?? 0) > 1 || run.stored !== run.reflections).length +
      [...doneAgents.values()].filter((count) => count > 1).length +
      (await committedAfterBump(
        lab,
        runs.map((run) => run.id),
      )),
    falseDegraded: of('run.moved').filter((event) => event.data.degraded === true && !rightly(event.at)).length,
    parkedUnfinished: [...parked].filter((id) => !done(byId.get(id)!)).length,
    regenerated: starts.length - new Set(starts.map((event) => event.subject)).size,
    moved: heldBefore ? 0 : runs.filter((run) => run.wanted === 'mid_q4' && run.by === 'pc2').length,
    degraded: runs.filter((run) => done(run) && run.degraded).length,
    parkedFinished: [...parked].filter((id) => done(byId.get(id)!)).length,
    restarts: restartsOf(events, fault),
    restartsWherePlanned: restartsOf(events, fault, {
      judgedAt: lostTo.find((span) => span.to > fault.at)?.from,
      residency: residency.map((held) => ({ ...held, from: held.from + startedAt, to: held.to + startedAt })),
    }),
  };
}

/**
 * When the large card was declared gone: from `machine.lost` or `model_server_down` until the plan that counts on it
 * again. Only then may a run degrade; while the lease merely runs on, nobody knows that the machine is away.
 */
async function lostSpans(lab: Lab, since: number): Promise<Array<{ from: number; to: number }>> {
  const { rows } = await sql<{ type: string; at: number }>`
    select type, extract(epoch from at)::float8 as at from events
    where at > to_timestamp(${since}) and ((subject = 'mainpc' and type in ('machine.lost', 'machine.model_server_down',
      'machine.joined', 'machine.model_server_up')) or type = 'plan.applied') order by id`.execute(lab.db);
  const spans: Array<{ from: number; to: number }> = [];
  let back = true;
  for (const { type, at } of rows) {
    const open = spans.at(-1);
    if (type === 'machine.lost' || type === 'machine.model_server_down') {
      if (open?.to !== Number.POSITIVE_INFINITY) spans.push({ from: at, to: Number.POSITIVE_INFINITY });
      back = false;
    } else if (type === 'machine.joined' || type === 'machine.model_server_up') {
      back = true;
    } else if (back && open?.to === Number.POSITIVE_INFINITY) {
      open.to = at;
    }
  }
  return spans;
}

/** Results stored later than the epoch they were made under had ended. */
async function committedAfterBump(lab: Lab, runIds: readonly string[]): Promise<number> {
  const { rows } = await sql<{ late: number }>`
    with bumps as (select subject as machine_id, (data->>'epoch')::bigint as epoch, at from events where type in ('machine.joined', 'machine.lost'))
    select count(*) as late from step_results s
    where s.work_id = any(${runIds}) and exists (
      select 1 from bumps b where b.machine_id = s.machine_id and b.epoch > s.epoch
        and b.at + make_interval(secs => ${clockTolerance}) < s.stored_at)`.execute(lab.db);
  return rows[0]!.late;
}

/** One that never began again shows as `lost`. @see Verdict.restarts */
function restartsOf(
  events: readonly CallEvent[],
  fault: Fault,
  planned?: { judgedAt: number | undefined; residency: readonly Residency[] },
): number[] {
  if (fault.kind === 'saturated') return [];
  const calls = callsOf(events);
  const victims = calls.filter(
    (call) => call.machineId === fault.machineId && call.from <= fault.at && call.to > fault.at,
  );
  const again = victims.flatMap(
    (victim) => calls.find((call) => call.runId === victim.runId && call.from > fault.at) ?? [],
  );
  const wanted = new Map(victims.map((victim) => [victim.runId, victim.modelId]));
  // What a dead worker or server had in hand holds no sequence of the one that comes back.
  if (fault.kind !== 'stop' && fault.kind !== 'late') for (const victim of victims) victim.to = fault.at;
  // A call that a dead server broke off has no heartbeat to wait for.
  const timedOut = fault.at + (fault.kind === 'server' ? 0 : heartbeatTimeout);
  const couldFrom = (call: Call): number => {
    const held = planned?.residency.find(
      (span) => span.machineId === call.machineId && span.modelId === call.modelId && span.to > timedOut,
    );
    return Math.max(
      timedOut,
      call.machineId === fault.machineId ? fault.backAt : 0,
      held?.from ?? 0,
      call.modelId === wanted.get(call.runId) ? 0 : (planned?.judgedAt ?? 0),
    );
  };
  again.sort((x, y) => x.from - y.from);
  return again.map((call, i) => {
    const from = couldFrom(call);
    // The n-th victim a machine takes over needs its n-th free sequence.
    const n = again.slice(0, i).filter((one) => one.machineId === call.machineId && one.from >= from).length;
    const free = freeTimes(calls, call.machineId as BenchMachine, from);
    return Math.max(0, call.from - (free[Math.min(n, free.length - 1)] ?? from));
  });
}

interface CallEvent {
  type: string;
  subject: string;
  data: { machineId?: string; modelId?: string };
  at: number;
}

interface Call {
  runId: string;
  machineId: string;
  modelId: string;
  from: number;
  to: number;
}

/** A call ends when its run does or begins again; what a lost machine held ends with the next start of the run. */
function callsOf(events: readonly CallEvent[]): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, Call>();
  for (const event of events) {
    if (event.type !== 'run.working' && event.type !== 'run.done') continue;
    const last = open.get(event.subject);
    if (last) last.to = event.at;
    open.delete(event.subject);
    if (event.type === 'run.done') continue;
    const call = {
      runId: event.subject,
      machineId: event.data.machineId ?? '',
      modelId: event.data.modelId ?? '',
      from: event.at,
      to: Number.POSITIVE_INFINITY,
    };
    calls.push(call);
    open.set(event.subject, call);
  }
  return calls;
}

/** When sequences of a machine came free: those that were idle at `after`, then each end of a call. */
function freeTimes(calls: readonly Call[], machineId: BenchMachine, after: number): number[] {
  const mine = calls.filter((call) => call.machineId === machineId);
  const busy = mine.filter((call) => call.from < after && call.to > after).length;
  const idle = Array.from({ length: Math.max(0, cards[machineId].sequences - busy) }, () => after);
  return [
    ...idle,
    ...mine
      .map((call) => call.to)
      .filter((to) => to > after)
      .sort((x, y) => x - y),
  ];
}

/** Who held what during the round, from the plans that were applied. */
export async function residencyOf(lab: Lab, startedAt: number): Promise<Residency[]> {
  const { rows } = await sql<{
    plan: { machines: Array<{ machineId: BenchMachine; models: Array<{ modelId: FailoverModel }> }> };
    at: number;
  }>`
    select p.plan, extract(epoch from e.at)::float8 as at from plans p
    join events e on e.type = 'plan.computed' and e.subject = p.version::text order by p.version`.execute(lab.db);
  return rows.flatMap((row, i) =>
    row.plan.machines.flatMap((machine) =>
      machine.models.map((model) => ({
        machineId: machine.machineId,
        modelId: model.modelId,
        from: row.at - startedAt,
        to: (rows[i + 1]?.at ?? Number.POSITIVE_INFINITY) - startedAt,
      })),
    ),
  );
}

export async function workDone(lab: Lab, period: string): Promise<Map<FailoverModel, number>> {
  const { rows } = await sql<{ modelId: FailoverModel; tokens: number }>`
    select model_id, sum(tokens)::float8 as tokens from runs where period = ${period} and state = 'done' group by model_id`.execute(
    lab.db,
  );
  return new Map(rows.map((row) => [row.modelId, row.tokens]));
}

export function medianOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.round(median(values) * 1000) / 1000;
}
