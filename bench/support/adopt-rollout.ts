import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../domain/random.ts';
import type { Lab } from '../../test/support/lab.ts';
import { byCodeUnit } from '../../domain/three-way.ts';
import { freePorts } from './fleet-bench.ts';
import { type AdoptMachine, type AdoptStage, adoptMachines, eventually } from './adopt-stage.ts';

/** Work packages on the repository and both machines: what each did is read from what it left, not from the product's rows. */

interface Step {
  packageId: string;
  attempt: number;
  phase: string;
  position: number;
  machineId: string | null;
  kind: string;
  state: string;
}
interface Rollout {
  id: string;
  state: string;
  reason: string;
  packages: Array<{ id: string; state: string; reason: string; steps: Array<Omit<Step, 'packageId'>> }>;
}

export interface RolloutVerdict {
  steps: number;
  kills: number;
  /** Effects beyond the first of a step, and commits beyond the first. */
  twice: number;
  /** Steps that say they are done and have left nothing. */
  lost: number;
  /** What differs from before, after it was rolled back. */
  differs: string[];
  /** Deployments that were done, each of the units of one machine. */
  deploys: number;
  /** Starts of units beyond one for each deployment: a worker that dies between the two leaves it to the next to ask again. */
  startsBeyond: number;
  seconds: number;
}

export interface RolloutSize {
  packages: 'dozen' | 'few';
  kills: { forward: number; back: number };
  /** How many of the kills are of a machine that is at a step just then, from 0 to 1; the others of any. */
  aimed: number;
  /** Of each command, so that a kill meets it. */
  commandSeconds: number;
  /** Sources of the workers that are begun again. */
  from?: Lab;
}

type Work = ReturnType<typeof prepare>;

/** A command is nothing that may be done twice: it adds a line to what its machine serves, or takes one away. */
function prepare(stage: AdoptStage, { packages, commandSeconds }: RolloutSize) {
  const deploy = stage.units === undefined ? [] : [{ kind: 'deploy', canary: 'pc2' }];
  const served = join(stage.folder, `served.${packages}`);
  mkdirSync(served);
  for (const machine of adoptMachines) writeFileSync(join(served, machine), 'as it runs\n');
  const effects = join(stage.folder, `effects.${packages}`);
  writeFileSync(effects, '');
  const half = commandSeconds / 2;
  const program = stage.program(
    `work.${packages}.sh`,
    `#!/bin/sh
step=\${SOULFRA_STEP%-*}
state=${served}/\${step##*-}
echo "$step" >> ${effects}
sleep ${half}
case $1 in
  up) echo "$2" >> "$state" ;;
  down) awk -v n="$2" '!d && $0 == n { d = 1; next } { print }' "$state" > "$state.new" && mv "$state.new" "$state" ;;
  fail) exit 7 ;;
esac
sleep ${half}
`,
  );
  const commands = new Map<string, readonly string[]>();
  const command = (act: string, id: string, machines?: string[]) => {
    const words = [program, act, id];
    commands.set(words.join(' '), words);
    return { kind: 'command', command: words, ...(machines === undefined ? {} : { machines }) };
  };
  const patch = (file: string, find: string, replace: string) => ({ kind: 'patch', edits: [{ file, find, replace }] });
  const ports = patch('config/late.yaml', 'port: 7201\n', 'port: 7291\n');
  const both = (id: string, dependsOn: string[], first: object[] = []) => ({
    id,
    title: `Work of ${id}`,
    dependsOn,
    steps: [...first, command('up', id)],
    undo: [command('down', id)],
  });
  const few = [{ id: 'wp-01', title: 'Ports', steps: [ports] }, both('wp-02', ['wp-01']), both('wp-03', ['wp-02'])];
  const dozen = [
    { id: 'wp-01', title: 'Ports', steps: [ports, { kind: 'manual', text: 'Look at the branch.' }] },
    {
      id: 'wp-02',
      title: 'Images',
      steps: [patch('deploy/mainpc/compose.boxes.yaml', 'made-up/thing:latest', 'made-up/thing:1.0')],
    },
    both('wp-03', ['wp-01']),
    both('wp-04', ['wp-01']),
    both('wp-05', ['wp-02']),
    both('wp-06', ['wp-02']),
    both('wp-07', ['wp-03', 'wp-05']),
    { ...both('wp-08', ['wp-04']), steps: [command('up', 'wp-08'), ...deploy] },
    both('wp-09', ['wp-07', 'wp-08']),
    both('wp-10', ['wp-09'], [patch('config/door.yaml', 'auth_enabled: false', 'auth_enabled: true')]),
    // It fails, is taken back by itself, and holds what depends on it.
    {
      ...both('wp-11', ['wp-06']),
      steps: [command('up', 'wp-11'), command('fail', 'wp-11', ['pc2'])],
    },
    both('wp-12', ['wp-11']),
  ];
  const workPackages = packages === 'dozen' ? dozen : few;
  stage.trust([...commands.values()], [stage.repository]);
  const source = JSON.stringify({ version: 1, repository: { machine: 'pc2', path: stage.repository }, workPackages });
  return { served, effects, source, ends: packages === 'dozen' ? 'held' : 'done' };
}

/**
 * Carries packages out and back while workers are killed by SIGKILL, at moments of a seeded choice while a step is under way.
 * Judged by what commands and commits have left behind.
 */
export async function rollOutThroughKills(
  stage: AdoptStage,
  size: RolloutSize,
  random: Random,
): Promise<RolloutVerdict> {
  const startedAt = performance.now();
  const work = prepare(stage, size);
  const [port = 0] = await freePorts(1);
  const server = stage.lab.startProcess(
    'served',
    ['test/support/served-folder-process.ts', '--folder', work.served, '--port', String(port)],
    {},
  );
  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually('what is served answers', async () => (await fetch(url).catch(() => undefined))?.ok === true);
    if (size.packages === 'dozen') await stage.units?.start();
    const starts = stage.units?.starts() ?? new Map<string, number>();
    const before = await everything(stage, url);
    const { status, body } = await stage.ask('POST', '/rollouts', { source: work.source });
    if (status !== 201) throw new Error(`the rollout was refused: ${JSON.stringify(body)}`);
    const id = body['id'] as string;
    let kills = 0;
    const through = (what: string, state: string, wanted: number) =>
      reached(stage, { id, what, state, kills: wanted, random, size, onKill: () => (kills += 1) });
    await through('it has come to its end', work.ends, size.kills.forward);
    const forward = judge(stage, work, await rolloutOf(stage, id));
    await stage.ask('POST', `/rollouts/${id}/rollback`);
    await through('it is rolled back', 'rolled_back', size.kills.back);
    const back = judge(stage, work, await rolloutOf(stage, id));
    const after = await everything(stage, url);
    const units = unitStarts(stage, await rolloutOf(stage, id), starts);
    return {
      steps: back.steps,
      kills,
      twice: back.twice + forward.commitsTwice,
      lost: back.lost + forward.commitsLost + units.lost,
      deploys: units.deploys,
      startsBeyond: units.beyond,
      differs: [...before].filter(([name, value]) => after.get(name) !== value).map(([name]) => name),
      seconds: Math.round((performance.now() - startedAt) / 1000),
    };
  } finally {
    await server.end();
  }
}

interface Reaching {
  id: string;
  what: string;
  state: string;
  kills: number;
  random: Random;
  size: RolloutSize;
  onKill: () => void;
}

/** Kills workers spread over the steps of this way, answers for the person who is asked, and waits for the end. */
async function reached(stage: AdoptStage, reaching: Reaching): Promise<void> {
  const { id, what, state, kills, random, size, onKill } = reaching;
  const phase = state === 'rolled_back' ? 'undo' : 'steps';
  let over = false;
  const first = (await stepsOf(stage, id, phase)).filter((step) => step.state === 'done').length;
  const killing = (async () => {
    for (let i = 0; i < kills; i += 1) {
      const due = first + Math.floor(i * (phase === 'undo' ? 3 : 2.5) + random.next() * 2);
      let busy: AdoptMachine[] = [];
      const isDue = async () => {
        const steps = await stepsOf(stage, id, phase);
        const machines = steps.filter((step) => step.state === 'running').map((step) => step.machineId);
        busy = adoptMachines.filter((machine) => machines.includes(machine));
        return busy.length > 0 && steps.filter((step) => step.state === 'done').length >= due;
      };
      await eventually(`kill ${i + 1}`, async () => over || (await isDue()), 240_000);
      if (over) return;
      await pause(random.int(900));
      await stage.killWorker(random.pick(random.next() < size.aimed ? busy : adoptMachines), size.from);
      onKill();
    }
  })();
  try {
    await eventually(what, async () => arrived(await rolloutOf(stage, id), state), 420_000);
  } catch (err) {
    process.stderr.write(`  ${JSON.stringify(await rolloutOf(stage, id))}\n`);
    throw err;
  } finally {
    over = true;
    await killing;
  }

  async function arrived(rollout: Rollout, wanted: string): Promise<boolean> {
    const asked = rollout.packages.find((each) =>
      each.steps.some((step) => step.kind === 'manual' && step.state === 'waiting'),
    );
    if (asked !== undefined)
      await stage.ask('POST', `/rollouts/${id}/packages/${asked.id}/answer`, { outcome: 'done', reason: 'looked at' });
    if (rollout.state === wanted) return true;
    // Nothing comes of itself once it is held, or once a person has to say how a step ended.
    if (rollout.state === 'held' || rollout.packages.some((each) => each.state === 'stuck'))
      throw new Error(`${id} is ${rollout.state}: ${rollout.reason}`);
    return false;
  }
}

async function stepsOf(stage: AdoptStage, id: string, phase: string) {
  const { packages } = await rolloutOf(stage, id);
  return packages.flatMap((each) => each.steps).filter((step) => step.phase === phase);
}

async function rolloutOf(stage: AdoptStage, id: string): Promise<Rollout> {
  const { status, body } = await stage.ask('GET', `/rollouts/${id}`);
  if (status !== 200) throw new Error(`${id} cannot be read: ${JSON.stringify(body)}`);
  return body as unknown as Rollout;
}

/** The rows against what was left: each command adds its step's name as it begins, each patch is one commit of its branch. */
function judge(stage: AdoptStage, { effects }: Work, { id, packages }: Rollout) {
  const left = Map.groupBy(
    readFileSync(effects, 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
    (line) => line,
  );
  const steps = packages.flatMap((each) => each.steps.map((step): Step => ({ ...step, packageId: each.id })));
  const ended = steps.filter(({ state }) => state === 'done' || state === 'failed');
  const nameOf = ({ packageId, attempt, phase, position, machineId }: Step) =>
    [id, packageId, attempt, phase, position, machineId].join('-');
  let commitsTwice = 0;
  let commitsLost = 0;
  for (const each of packages) {
    const patches = each.steps.filter(
      ({ kind, phase, state }) => kind === 'patch' && phase === 'steps' && state === 'done',
    );
    const branch = `soulfra/${id}/${each.id}`;
    const isThere = stage.git('for-each-ref', `refs/heads/${branch}`) !== '';
    const commits = isThere ? Number(stage.git('rev-list', '--count', `main..${branch}`)) : 0;
    commitsTwice += Math.max(0, commits - patches.length);
    commitsLost += Math.max(0, patches.length - commits);
  }
  return {
    steps: ended.length,
    twice: [...left.values()].reduce((sum, lines) => sum + lines.length - 1, 0),
    lost: ended.filter((step) => step.kind === 'command' && !left.has(nameOf(step))).length,
    commitsTwice,
    commitsLost,
  };
}

/** Each deployment that was done has started every unit of its machine anew; counted by what units write as they start. */
function unitStarts({ units }: AdoptStage, { packages }: Rollout, before: ReadonlyMap<string, number>) {
  const done = packages.flatMap(({ steps }) =>
    steps.filter(({ kind, state }) => kind === 'deploy' && state === 'done'),
  );
  const after = units?.starts() ?? new Map<string, number>();
  const more = (units?.ids ?? []).map((id) => {
    const wanted = done.filter(({ machineId }) => id.startsWith(`${machineId}-`)).length;
    return (after.get(id) ?? 0) - (before.get(id) ?? 0) - wanted;
  });
  return {
    deploys: units === undefined ? 0 : done.length,
    lost: more.reduce((sum, each) => sum + Math.max(0, -each), 0),
    beyond: more.reduce((sum, each) => sum + Math.max(0, each), 0),
  };
}

/** All that a rollback has to leave as it was, by name. */
async function everything(stage: AdoptStage, url: string): Promise<Map<string, string>> {
  const { git, repository } = stage;
  const files = readdirSync(repository, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !relative(repository, path).startsWith('.git/'))
    .toSorted(byCodeUnit);
  const tree = createHash('sha256');
  for (const path of files) tree.update(`${path}\0`).update(readFileSync(path)).update('\0');
  const registry = await stage.ask('GET', '/services');
  const all: Array<[string, string]> = [
    ['refs', git('for-each-ref')],
    ['HEAD', `${git('symbolic-ref', 'HEAD')} ${git('rev-parse', 'HEAD')}`],
    ['status', git('status', '--porcelain', '--ignored')],
    ['files', tree.digest('hex')],
    ['services', JSON.stringify((registry.body['items'] as Array<{ id: string }>).map((service) => service.id))],
  ];
  for (const machine of adoptMachines)
    all.push([`served by ${machine}`, await (await fetch(`${url}/${machine}`)).text()]);
  return new Map(all);
}
