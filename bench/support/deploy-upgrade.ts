import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { parseDocument } from 'yaml';
import { appVersion } from '../../config/app-version.ts';
import { type ApiClient, createApiClient } from '../../deploy/embedded/api-client.ts';
import { readJson } from '../../deploy/embedded/home.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { liveOn } from './live-on.ts';

/**
 * The stack of the version before, by its own code, with workflows in flight; then today's code on the same data; then back, as
 * deploy/runbooks/06-roll-back.md has it. Each time every workflow that was in flight is run anew by the code that is there now, and
 * ends or waits on as it should.
 */

export interface UpgradeFigures {
  upgrade_nondeterminism: number;
  upgrade: {
    from: string;
    commit: string;
    /** Open workflows at the moment of the upgrade, by type. */
    in_flight: Record<string, number>;
    /** That today's code took over: replayed whole and waiting, done, or gone on as a new run. */
    went_on: number;
    upgrade_s: number;
    older_refuses_newer_data: boolean;
    went_on_after_roll_back: number;
    /** That ended otherwise, as `state workflow`; none may. */
    broken: string[];
    roll_back_s: number;
  };
}

type Say = (text: string) => void;

/** EVENT_TYPE_WORKFLOW_TASK_FAILED, and its cause NON_DETERMINISTIC_ERROR, of temporal.api.enums.v1. */
const taskFailed = 7;
const nonDeterministic = 24;
const upWithinMs = 10 * 60_000;
const goOnWithinMs = 8 * 60_000;

/** The newest released version before the one that this checkout is, by what CHANGELOG.md says of it. */
function previousVersion(): { version: string; commit: string } {
  const text = readFileSync(join(repositoryRoot, 'CHANGELOG.md'), 'utf8');
  const released = text.matchAll(/^## (\d+\.\d+\.\d+)[^\n]*\n+[^\n]*the tree of commit `([0-9a-f]+)`/gm);
  for (const [, version, commit] of released)
    if (version !== appVersion()) return { version: version!, commit: commit! };
  throw new Error(`CHANGELOG.md names no commit of a version before ${appVersion()}`);
}

export async function measureUpgrade(options: {
  work: string;
  /** A checkout of the version before with its packages; absent: made, and removed at the end. */
  previous: string | undefined;
  agents: number;
  say: Say;
}): Promise<UpgradeFigures> {
  const { work, agents, say } = options;
  const { version, commit } = previousVersion();
  const old = options.previous ?? join(work, 'previous');
  const home = join(work, 'home');
  const file = join(work, 'fleet.yaml');
  const stack = (root: string) => startStack({ root, home, file, log: join(work, 'stack.log') });
  let running: Stack | undefined;
  try {
    if (options.previous === undefined) checkOut(old, commit, say);
    writeFileSync(file, smallFleet(readFileSync(join(old, 'fleet.yaml'), 'utf8'), agents));
    running = await stack(old);
    const sweepId = await midway(running.api, await putInFlight(running.api));
    const open = await openWorkflows(running);
    say(`${version} has ${open.length} workflows in flight`);
    await running.stop();
    copy(home, join(work, 'home-before'));

    const since = Date.now();
    running = await stack(repositoryRoot);
    const upgradeSeconds = seconds(since);
    const upgraded = await goOn(running, open, sweepId, say);
    await running.stop();

    const older = await refusedBy(old, home, file, join(work, 'stack.log'));
    const back = Date.now();
    renameSync(home, join(work, 'home-upgraded'));
    copy(join(work, 'home-before'), home);
    running = await stack(old);
    const backSeconds = seconds(back);
    const returned = await goOn(running, open, sweepId, say);
    await running.stop();
    running = undefined;
    return {
      upgrade_nondeterminism: upgraded.nondeterminism + returned.nondeterminism,
      upgrade: {
        from: version,
        commit,
        in_flight: countBy(open.map(({ type }) => type)),
        went_on: upgraded.wentOn,
        upgrade_s: upgradeSeconds,
        older_refuses_newer_data: older,
        went_on_after_roll_back: returned.wentOn,
        roll_back_s: backSeconds,
        broken: [...upgraded.broken, ...returned.broken],
      },
    };
  } catch (err) {
    say(lastLines(join(work, 'stack.log')));
    throw err;
  } finally {
    await running?.kill();
    if (options.previous === undefined && existsSync(old)) git('worktree', 'remove', '--force', old);
  }
}

function checkOut(folder: string, commit: string, say: Say): void {
  git('worktree', 'add', '--detach', folder, commit);
  say(`packages of ${commit}`);
  const { status, stderr } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm ci of ${commit} ended by ${status}: ${stderr.slice(-2000)}`);
}

function git(...args: string[]): void {
  const { status, stderr } = spawnSync('git', ['-C', repositoryRoot, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
}

/** The fleet that it ships, with fewer agents. */
function smallFleet(source: string, agents: number): string {
  const document = parseDocument(source);
  const fleet = document.toJS() as { archetypes: { count: number }[] };
  const all = fleet.archetypes.reduce((sum, { count }) => sum + count, 0);
  fleet.archetypes.forEach(({ count }, i) =>
    document.setIn(['archetypes', i, 'count'], Math.max(1, Math.round((count * agents) / all))),
  );
  document.delete('agents');
  return document.toString();
}

interface Stack {
  api: ApiClient;
  client: Client;
  home: string;
  startedAt: number;
  /** In order, as Ctrl-C does. */
  stop(): Promise<void>;
  kill(): Promise<void>;
}

function begin(options: { root: string; home: string; file: string; log: string }): ChildProcess {
  const { root, home, file, log } = options;
  const out = openSync(log, 'a');
  return spawn(process.execPath, ['deploy/embedded/start.ts', '--fleet', file], {
    cwd: root,
    env: { ...process.env, SOULFRA_HOME: home },
    stdio: ['ignore', out, out],
  });
}

/** `npm start` of a checkout, until its machines are ready and its first cycle is over. */
async function startStack(options: { root: string; home: string; file: string; log: string }): Promise<Stack> {
  const startedAt = Date.now();
  const { home } = options;
  const child = begin(options);
  const ended = endOf(child);
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
  };
  const until = startedAt + upWithinMs;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the stack of ${options.root} ended by ${child.exitCode}`);
    if (Date.now() > until) {
      await kill();
      throw new Error(`the stack of ${options.root} is not up after ${upWithinMs / 60_000} min`);
    }
    const api = apiOf(home);
    if (api !== undefined && (await isUp(api, home, startedAt))) {
      const ports = readJson<{ temporal: number }>(join(home, 'ports.json'))!;
      const connection = await Connection.connect({ address: `127.0.0.1:${ports.temporal}` });
      return {
        api,
        client: new Client({ connection }),
        home,
        startedAt,
        async stop() {
          await connection.close();
          child.kill('SIGINT');
          const how = await ended;
          if (how !== 0) throw new Error(`the stack of ${options.root} ended by ${how}`);
        },
        async kill() {
          await kill();
          await connection.close();
        },
      };
    }
    await pause(1_000);
  }
}

function apiOf(home: string): ApiClient | undefined {
  const ports = readJson<{ api: number }>(join(home, 'ports.json'));
  const token = join(home, 'operator.token');
  if (ports === undefined || !existsSync(token)) return undefined;
  return createApiClient({ url: `http://127.0.0.1:${ports.api}`, token: readFileSync(token, 'utf8').trim() });
}

/** Whose leases are of this start; before, those of the last one may not have run out. */
async function isUp(api: ApiClient, home: string, startedAt: number): Promise<boolean> {
  if (readJson<{ step: string }>(join(home, 'birth.json'))?.step !== 'done') return false;
  const machines = await api
    .all<{ state: string; alive: boolean }>('/machines')
    .catch(() => [] as { state: string; alive: boolean }[]);
  const plan = await api.get<{ state: string }>('/fleet/plan').catch(() => undefined);
  return (
    Date.now() - startedAt > 20_000 &&
    machines.length > 0 &&
    machines.every(({ state, alive }) => alive && state === 'ready') &&
    plan?.state === 'applied'
  );
}

/** Of each kind that takes its time: a sweep, a ballot, an invitation. */
async function putInFlight(api: ApiClient): Promise<string> {
  const guild = await api.post<{ id: string }>('/guilds', { name: 'Upgraders', seats: 12 }, randomUUID());
  await api.post(`/guilds/${guild.id}/invites`, { link: { uses: 3 } }, randomUUID());
  await api.post(
    '/ballots',
    // Nobody is asked for a vote yet: it waits by its timer.
    { title: 'Shall we upgrade?', text: 'From the version before to this one.', discussion: '1h', vote: '1h' },
    randomUUID(),
  );
  await liveOn(api, { seed: 1, days: 20 });
  return (await api.post<{ id: string }>('/sweeps', { trigger: 'call', agents: 'all' }, randomUUID())).id;
}

interface Sweep {
  id: string;
  state: string;
  total: number;
  counts: Record<'done' | 'failed', number>;
}

const sweepOf = (api: ApiClient, id: string) => api.get<Sweep>(`/sweeps/${encodeURIComponent(id)}`);

/** @returns the cycle's own id: one that is asked for while another runs may be that one */
async function midway(api: ApiClient, asked: string): Promise<string> {
  let sweepId = asked;
  for (;;) {
    const { id, state, total, counts } = await sweepOf(api, sweepId);
    sweepId = id;
    if (state !== 'running') throw new Error('the cycle was over before its middle: more --agents');
    if (total > 0 && counts.done >= total * 0.2) return id;
    await pause(200);
  }
}

interface OpenWorkflow {
  workflowId: string;
  runId: string;
  type: string;
}

async function openWorkflows({ client }: Stack): Promise<OpenWorkflow[]> {
  const open: OpenWorkflow[] = [];
  for await (const { workflowId, runId, type } of client.workflow.list({ query: 'ExecutionStatus = "Running"' }))
    open.push({ workflowId, runId, type });
  return open;
}

/**
 * Waits until every one of these was taken over: it is done or has gone on as a new run, or the code that is there now has replayed the
 * whole of it to answer a query, which workers that had it in memory are gone for.
 */
async function goOn(
  stack: Stack,
  open: readonly OpenWorkflow[],
  sweepId: string,
  say: Say,
): Promise<{ wentOn: number; nondeterminism: number; broken: string[] }> {
  const until = Date.now() + goOnWithinMs;
  const failed = new Set<string>();
  const broken: string[] = [];
  let wentOn = 0;
  let waiting = [...open];
  while (waiting.length > 0) {
    const left: OpenWorkflow[] = [];
    for (const each of waiting) {
      const how = await takenOver(stack.client, each);
      if (how === 'went on') wentOn += 1;
      else if (how === 'nondeterministic') failed.add(each.workflowId);
      else if (how === 'not yet') left.push(each);
      else broken.push(`${how} ${each.workflowId}`);
    }
    waiting = left;
    if (waiting.length > 0 && Date.now() > until)
      throw new Error(`nobody took over: ${waiting.map(({ workflowId }) => workflowId).join(', ')}`);
    await pause(1_000);
  }
  while ((await sweepOf(stack.api, sweepId)).state === 'running') {
    if (Date.now() > until) throw new Error(`the cycle ${sweepId} does not end`);
    await pause(1_000);
  }
  for (const { workflowId, runId } of open) {
    const { events } = await stack.client.workflow.getHandle(workflowId, runId).fetchHistory();
    const bad = (events ?? []).some(
      ({ eventType, workflowTaskFailedEventAttributes: failure }) =>
        Number(eventType) === taskFailed && Number(failure?.cause) === nonDeterministic,
    );
    if (bad) failed.add(workflowId);
  }
  const told = loggedNondeterminism(stack);
  if (failed.size > 0 || told > 0) say(`non-determinism: ${[...failed].join(', ')}; in logs: ${told}`);
  if (broken.length > 0) say(`broken: ${broken.join(', ')}`);
  return { wentOn, nondeterminism: Math.max(failed.size, told), broken };
}

async function takenOver(
  client: Client,
  { workflowId, runId }: OpenWorkflow,
): Promise<'went on' | 'not yet' | 'nondeterministic' | 'FAILED' | 'TERMINATED' | 'TIMED_OUT' | 'CANCELLED'> {
  const handle = client.workflow.getHandle(workflowId, runId);
  const { status } = await handle.describe();
  switch (status.name) {
    case 'COMPLETED':
    case 'CONTINUED_AS_NEW':
      return 'went on';
    case 'FAILED':
    case 'TERMINATED':
    case 'TIMED_OUT':
    case 'CANCELLED':
      return status.name;
    default:
  }
  try {
    await client.connection.withDeadline(Date.now() + 15_000, () => handle.query('__stack_trace'));
    return 'went on';
  } catch (err) {
    const text = `${err instanceof Error ? `${err.message} ${String(err.cause)}` : String(err)}`;
    return isNondeterminism(text) ? 'nondeterministic' : 'not yet';
  }
}

const isNondeterminism = (text: string) => /TMPRL1100|non-?determinis/i.test(text);

/** Lines of workers since the start of this stack. */
function loggedNondeterminism({ home, startedAt }: Stack): number {
  const folder = join(home, 'logs');
  const lines = readdirSync(folder)
    .filter((name) => name.startsWith('worker-') && name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => isNondeterminism(line));
  return lines.filter((line) => {
    const { time } = JSON.parse(line) as { time: string | number };
    return new Date(time).getTime() >= startedAt;
  }).length;
}

/** Whether the older code leaves the newer data alone, and says why. */
async function refusedBy(root: string, home: string, file: string, log: string): Promise<boolean> {
  const before = readFileSync(log, 'utf8').length;
  const child = begin({ root, home, file, log });
  const code = await Promise.race([endOf(child), pause(120_000)]);
  if (code === undefined) {
    child.kill('SIGINT');
    await endOf(child);
    return false;
  }
  return code === 1 && /the data was written by/.test(readFileSync(log, 'utf8').slice(before));
}

function endOf(child: ChildProcess): Promise<number | string> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'nothing'));
  });
}

/** Of a stack that is stopped, with owners and modes: Postgres has a user of its own. */
function copy(from: string, to: string): void {
  mkdirSync(join(to, '..'), { recursive: true });
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cp ${from}: ${stderr}`);
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

const seconds = (since: number) => Math.round((Date.now() - since) / 100) / 10;

function lastLines(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(-15).join('\n') : '';
}
