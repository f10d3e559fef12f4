import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.ts';
import { badInput, CommandFailure, exitCodes } from './failures.ts';
import type { FleetView } from './fleets.ts';
import { createLiveBlock } from './live-block.ts';
import { bad, bold, dim, good, line, printJson, styledState, warn } from './output.ts';
import type { Session } from './program.ts';

interface Sweep {
  id: string;
  state: 'running' | 'done' | 'canceled';
  total: number;
  counts: Record<'queued' | 'running' | 'parked' | 'done' | 'empty' | 'failed' | 'canceled', number>;
  reflected: number;
  degraded: number;
  moved: number;
  byMachine: Record<string, number>;
  runningByMachine: Record<string, number>;
}
type Moment = { sweep: Sweep; fleet: FleetView };

const lookMs = 500;
/** Without a terminal a line this often is enough. */
const plainMs = 3_000;
/** Also where nothing moves, so that nobody takes it for stuck. */
const plainStillMs = 15_000;
const workWithinMs = 90_000;
/** Part of the agents that are done before the plug is pulled: by then every queue's window is full. */
const underWay = 0.05;
const barWidth = 30;

/** Pulls the plug of a machine in mid-cycle and shows where its work goes, until the cycle ends. */
export async function killMachine(session: Session, id: string, { watch }: { watch: boolean }): Promise<void> {
  const { client, json } = session;
  const say = json ? () => undefined : line;
  const before = await client.get<FleetView>('/fleet');
  if (!before.machines.some((machine) => machine.id === id)) {
    throw badInput(`there is no machine ${id}`, `Known: ${before.machines.map((machine) => machine.id).join(', ')}.`);
  }
  // Whether a kill is possible here at all is said before a cycle is started for it.
  await client.post(`/machines/${id}/kill`, {}, { dryRun: true });
  const sweepId = await runningSweep(client, say);
  const atWork = await workOn(client, sweepId, id, say);
  await client.post(`/machines/${id}/kill`);
  const killedAt = Date.now();
  say(`${bad('✖')} ${bold(id)} killed (SIGKILL) with ${atWork} runs in hand`);
  if (!watch) {
    if (json) printJson({ machine: id, sweep: sweepId, inHand: atWork });
    return;
  }
  const end = await watchMoves(client, { sweepId, id, killedAt, json });
  const figures = summary(end, { id, atWork, seconds: (Date.now() - killedAt) / 1000, before });
  if (json) {
    printJson(figures);
  } else {
    line(lastLine(end, figures));
    line(`Bring it back: soulfra fleet start ${id}`);
  }
  if (end.sweep.counts.failed > 0) {
    throw new CommandFailure(`${end.sweep.counts.failed} runs failed: soulfra runs list --state failed`, {
      exitCode: exitCodes.failed,
    });
  }
}

async function runningSweep(client: Client, say: (text: string) => void): Promise<string> {
  const running = await client.list<{ id: string }>('/sweeps', { state: 'running' }, 1);
  if (running.items[0]) {
    say(`A cycle runs already: ${running.items[0].id}`);
    return running.items[0].id;
  }
  const started = await client.post<{ id: string }>('/sweeps');
  say(`No cycle runs, so one is started: ${started.id}`);
  return started.id;
}

/** Waits until runs are at work on the machine: pulling the plug of an idle one would show nothing. */
async function workOn(client: Client, sweepId: string, id: string, say: (text: string) => void): Promise<number> {
  const deadline = Date.now() + workWithinMs;
  say(dim(`waiting until ${id} works…`));
  for (;;) {
    const sweep = await client.get<Sweep>(`/sweeps/${sweepId}`);
    const atWork = sweep.runningByMachine[id] ?? 0;
    if (atWork > 0 && sweep.reflected >= sweep.total * underWay) return atWork;
    if (sweep.state !== 'running' || Date.now() > deadline) {
      throw new CommandFailure(`${id} took no work in this cycle`, {
        exitCode: exitCodes.failed,
        mend: 'See `soulfra fleet show`: it must be ready and hold models.',
      });
    }
    await sleep(lookMs / 2);
  }
}

async function watchMoves(
  client: Client,
  { sweepId, id, killedAt, json }: { sweepId: string; id: string; killedAt: number; json: boolean },
): Promise<Moment> {
  const block = createLiveBlock(process.stdout);
  let last: Moment | undefined;
  let plainAt = 0;
  let plainText = '';
  for (;;) {
    const [sweep, fleet] = await Promise.all([
      client.get<Sweep>(`/sweeps/${sweepId}`),
      client.get<FleetView>('/fleet'),
    ]);
    const now = { sweep, fleet };
    if (!json) {
      const at = `${((Date.now() - killedAt) / 1000).toFixed(1).padStart(5)} s`;
      for (const text of turningPoints(last, now, id)) block.say(`${dim(at)}  ${text}`);
      const progress = progressText(now);
      const waited = Date.now() - plainAt;
      if (waited >= plainStillMs || (waited >= plainMs && !plainText.endsWith(progress))) {
        plainAt = Date.now();
        plainText = `${at}  ${progress}`;
      }
      block.show(picture(now), plainText);
    }
    last = now;
    if (sweep.state !== 'running') return now;
    await sleep(lookMs);
  }
}

/** What has happened between two looks, in words. */
function turningPoints(last: Moment | undefined, now: Moment, killed: string): string[] {
  if (last === undefined) return [];
  const said: string[] = [];
  for (const machine of now.fleet.machines) {
    const before = last.fleet.machines.find((other) => other.id === machine.id);
    if (before && before.state !== machine.state) {
      const why = machine.reason === '' ? '' : dim(` (${machine.reason})`);
      said.push(`${machine.id}: ${styledState(before.state)} → ${styledState(machine.state)}${why}`);
    }
    const fresh = before ? machine.models.filter((model) => !before.models.includes(model)) : [];
    if (fresh.length > 0) said.push(`${machine.id} is given ${fresh.join(', ')} of ${killed}'s models`);
  }
  const plan = now.fleet.plan;
  if (plan && (plan.version !== last.fleet.plan?.version || plan.state !== last.fleet.plan.state)) {
    said.push(`plan ${plan.version} ${styledState(plan.state)} ${dim(`(${plan.reason})`)}`);
  }
  for (const [word, count, before] of [
    ['moved to another queue', now.sweep.moved, last.sweep.moved],
    ['parked: their model is on no living machine', now.sweep.counts.parked, last.sweep.counts.parked],
    ['done by a smaller model (degraded)', now.sweep.degraded, last.sweep.degraded],
  ] as const) {
    if (before === 0 && count > 0) said.push(warn(`first runs ${word}`));
  }
  const stillThere = now.sweep.runningByMachine[killed] ?? 0;
  if ((last.sweep.runningByMachine[killed] ?? 0) > 0 && stillThere === 0) {
    said.push(`what ${killed} had in hand runs elsewhere or waits its turn`);
  }
  return said;
}

function picture({ sweep, fleet }: Moment): string[] {
  const widest = Math.max(...fleet.machines.map((machine) => machine.id.length));
  return [
    `${bar(ended(sweep), sweep.total)} ${progressText({ sweep, fleet })}`,
    ...fleet.machines.map((machine) => {
      const running = sweep.runningByMachine[machine.id] ?? 0;
      const dots = '●'.repeat(Math.min(40, running));
      return `${machine.id.padEnd(widest)}  ${styledState(machine.state)}${' '.repeat(Math.max(0, 8 - machine.state.length))}  done ${String(sweep.byMachine[machine.id] ?? 0).padStart(4)}  now ${running} ${dots}`;
    }),
  ];
}

function progressText({ sweep, fleet }: Moment): string {
  const { parked, failed } = sweep.counts;
  const running = Object.entries(sweep.runningByMachine).map(([machine, count]) => `${machine} ${count}`);
  return [
    `${ended(sweep)}/${sweep.total}`,
    `running ${running.join(', ') || 'none'}`,
    `moved ${sweep.moved}`,
    `degraded ${sweep.degraded}`,
    `parked ${parked}`,
    `failed ${failed}`,
    fleet.plan ? `plan ${fleet.plan.version} ${fleet.plan.state}` : 'no plan',
  ].join(' · ');
}

function ended({ counts }: Sweep): number {
  return counts.done + counts.empty + counts.failed + counts.canceled;
}

function bar(part: number, whole: number): string {
  const full = whole === 0 ? 0 : Math.round((barWidth * part) / whole);
  return good('█'.repeat(full)) + dim('░'.repeat(barWidth - full));
}

function summary(
  { sweep, fleet }: Moment,
  { id, atWork, seconds, before }: { id: string; atWork: number; seconds: number; before: FleetView },
) {
  return {
    machine: id,
    sweep: sweep.id,
    inHand: atWork,
    seconds: Math.round(seconds * 10) / 10,
    agents: sweep.total,
    reflected: sweep.reflected,
    byMachine: sweep.byMachine,
    moved: sweep.moved,
    degraded: sweep.degraded,
    parked: sweep.counts.parked,
    failed: sweep.counts.failed,
    plan: { before: before.plan?.version ?? null, after: fleet.plan?.version ?? null },
  };
}

function lastLine({ sweep }: Moment, figures: ReturnType<typeof summary>): string {
  const by = Object.entries(sweep.byMachine).map(([machine, count]) => `${machine} ${count}`);
  const open = figures.parked > 0 ? warn(` · ${figures.parked} parked until their model is back (soulfra inbox)`) : '';
  const mark = figures.failed === 0 ? good('✔') : bad('✖');
  return `${mark} cycle ${sweep.state} ${figures.seconds} s after the kill: ${figures.reflected}/${figures.agents} reflected (${by.join(', ')}) · ${figures.moved} moved · ${figures.degraded} degraded · ${figures.failed} failed${open}`;
}
