import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { composeArguments, composeCommand } from '../../deploy/compose/containers.ts';
import { type ApiClient, createApiClient } from '../../deploy/embedded/api-client.ts';
import { machinesReady, seedWorld } from '../../deploy/embedded/birth.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { createScreen } from '../../deploy/embedded/screen.ts';
import type { ComposeRun, SeenMachine } from './deploy-compose.ts';
import { refusals } from './deploy-refusals.ts';

/** Run in the network of the coordinating machine (deploy-compose.ts): everything from the first `apply` on. One line of JSON. */

const { work, machines, watching, isShort } = JSON.parse(process.argv[2]!) as ComposeRun;
const [first, second] = machines;
const figures: Record<string, unknown> = {};
const say = (text: string) => void process.stderr.write(`${text}\n`);
const screen = createScreen(process.stderr);
const token = readFileSync(join(first.folder, 'secrets/operator_token'), 'utf8').trim();
const apiOf = ({ address }: SeenMachine) => createApiClient({ url: `https://${address}:17443`, token });
const envOf = ({ env }: SeenMachine) => ({ ...process.env, ...env });
const seconds = (since: number) => Math.round((Date.now() - since) / 100) / 10;

interface Applied {
  containers: { service: string; action: string }[];
  files: unknown[];
  made: unknown[];
}

/** `soulfra deploy` there: in its network, with its Docker. */
async function deploy<Result>(machine: SeenMachine, ...words: string[]): Promise<Result> {
  const file = join(machine === first ? work : join(machine.folder, 'config'), 'fleet.yaml');
  const script = join(repositoryRoot, 'deploy/compose/main.ts');
  const args = [script, ...words, '--file', file, '--out', machine.folder, '--machine', machine.id];
  const child = spawn('nsenter', [`--net=/run/netns/${machine.network}`, process.execPath, ...args], {
    env: envOf(machine),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    last = line;
    const { progress } = JSON.parse(line) as { progress?: string };
    if (progress !== undefined) say(`${machine.id}: ${progress}`);
  }
  const told = JSON.parse(last) as { result: Result } | { failed: { message: string } };
  if ('failed' in told) throw new Error(`${machine.id} ${words[0]}: ${told.failed.message}`);
  return told.result;
}

const docker = (machine: SeenMachine, ...args: string[]) =>
  execFileSync('docker', args, { env: envOf(machine), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

async function compose(machine: SeenMachine, file: string, ...words: string[]): Promise<void> {
  const command = await composeCommand(envOf(machine));
  const args = composeArguments(command, machine.folder, file, words);
  const { status, stderr } = spawnSync(command[0]!, args, { env: envOf(machine), encoding: 'utf8' });
  if (status !== 0) throw new Error(`${machine.id} compose ${words.join(' ')}: ${stderr}`);
}

/** Every container with when it began: what was touched in between shows. */
const standing = (machine: SeenMachine) =>
  docker(machine, 'inspect', '--format', '{{.Name}} {{.Created}} {{.State.StartedAt}}', ...idsOf(machine))
    .split('\n')
    .toSorted();
const idsOf = (machine: SeenMachine, ...filters: string[]) =>
  docker(machine, 'ps', '-aq', ...filters)
    .split('\n')
    .filter((id) => id !== '');

async function upFromNothing(): Promise<void> {
  const since = Date.now();
  // The other machine waits for the first one by itself.
  await Promise.all([deploy(first, 'apply'), deploy(second, 'apply')]);
  await machinesReady(apiOf(first), screen, ['pc2', 'mainpc'], () => false);
  figures['up_s'] = seconds(since);
  figures['healthy'] = true;
  figures['services'] = Object.fromEntries(machines.map((machine) => [machine.id, healthOf(machine)]));
}

function healthOf(machine: SeenMachine): Record<string, string> {
  const format =
    '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}';
  const lines = docker(machine, 'inspect', '--format', format, ...idsOf(machine)).split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [service, state, code, health] = line.split(' ');
      return [service!, state === 'exited' ? `ended by ${code}` : health || state!];
    }),
  );
}

async function secondApply(): Promise<void> {
  const before = machines.map(standing);
  const init = spawnSync(
    process.execPath,
    [join(repositoryRoot, 'deploy/compose/main.ts'), 'init', '--file', join(work, 'fleet.yaml'), '--out', first.folder],
    { encoding: 'utf8' },
  );
  const again = (JSON.parse(init.stdout.trim().split('\n').at(-1)!) as { result: { changes: []; made: [] } }).result;
  const applied = await Promise.all(machines.map((machine) => deploy<Applied>(machine, 'apply')));
  const changes = applied.map(({ containers, files, made }) => containers.length + files.length + made.length);
  const after = machines.map(standing);
  const touched = before.flatMap((lines, i) => lines.filter((line) => !after[i]!.includes(line)));
  figures['second_apply_changes'] =
    again.changes.length + again.made.length + changes.reduce((sum, each) => sum + each, 0) + touched.length;
  // By hand, too: what stands is what the files say; what runs to its end does so again.
  const ids = standing(first).map((line) => line.split(' ').slice(0, 2).join(' '));
  await compose(first, 'coordination.yaml', 'up', '-d');
  figures['second_up_recreates'] = standing(first).filter(
    (line) => !ids.includes(line.split(' ').slice(0, 2).join(' ')),
  ).length;
}

/** Temporal's own page is behind the sign-in, and there with it. */
async function throughTheProxy(): Promise<Record<string, number>> {
  const url = `https://${first.address}:17443/temporal/api/v1/namespaces`;
  const ask = async (headers: Record<string, string>) => (await fetch(url, { headers })).status;
  return {
    'temporal ui, signed in': await ask({ authorization: `Bearer ${token}` }),
    'temporal ui, nobody': await ask({}),
  };
}

async function cycle(api: ApiClient, acknowledged: Map<string, string | null>): Promise<void> {
  const endsAt = new Date().toISOString();
  await seedWorld(api, screen, { file: join(first.folder, 'config/fleet.yaml'), endsAt });
  const { id } = await api.post<{ id: string }>('/sweeps', { trigger: 'call', agents: 'all' });
  let sweepId = id;
  const until = Date.now() + 6 * 60_000;
  for (;;) {
    const sweep = await api.get<{ id: string; state: string }>(`/sweeps/${encodeURIComponent(sweepId)}`);
    sweepId = sweep.id;
    if (sweep.state !== 'running') break;
    if (Date.now() > until) throw new Error('the cycle does not end');
    await pause(1_000);
  }
  for (const each of await api.all<{ id: string; machineId: string | null }>('/reflections'))
    acknowledged.set(each.id, each.machineId);
}

/** What watches, as far as this host has its images; without it `apply` says nothing changes, so it goes again. */
async function observability(): Promise<void> {
  const parts = [
    [first, 'coordination.yaml'],
    [second, `inference-${second.id}.yaml`],
  ] as const;
  for (const [machine, file] of parts) {
    const services = watching[machine.id]!;
    if (services.length === 0) continue;
    await compose(machine, file, '--profile', 'observability', 'up', '-d', '--no-deps', '--wait', ...services);
  }
  if (watching[first.id]!.includes('prometheus')) figures['targets_up'] = await targetsUp();
  figures['watching'] = Object.fromEntries(
    parts.map(([machine]) => [
      machine.id,
      Object.fromEntries(Object.entries(healthOf(machine)).filter(([name]) => watching[machine.id]!.includes(name))),
    ]),
  );
  for (const [machine, file] of parts)
    if (watching[machine.id]!.length > 0)
      await compose(machine, file, '--profile', 'observability', 'rm', '-sf', ...watching[machine.id]!);
}

async function targetsUp(): Promise<Record<string, string>> {
  const [id] = idsOf(first, '--filter', 'label=com.docker.compose.service=prometheus');
  const at = docker(first, 'inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', id!);
  for (let left = 30; ; left -= 1) {
    const answer = await fetch(`http://${at}:9090/api/v1/targets`);
    const { data } = (await answer.json()) as {
      data: { activeTargets: { labels: { job: string }; health: string; lastError: string }[] };
    };
    const targets = data.activeTargets.map(({ labels, health, lastError }) => [labels.job, lastError || health]);
    if (left === 0 || targets.every(([, health]) => health === 'up')) return Object.fromEntries(targets);
    await pause(2_000);
  }
}

/** The first machine loses its power; the second takes over; the first one, back, stays out. */
async function promotion(acknowledged: ReadonlyMap<string, string | null>): Promise<void> {
  const gone = Date.now();
  docker(first, 'kill', ...idsOf(first, '--filter', 'status=running'));
  say(`${first.id} has no power; ${acknowledged.size} reflections are acknowledged`);
  const promoted = await deploy<{ rpoSeconds: number; loss: string }>(second, 'promote', '--old-is-off');
  say(promoted.loss);
  const api = apiOf(second);
  await machinesReady(api, screen, [second.id], () => false);
  figures['rto_s'] = seconds(gone);
  figures['promotion_rpo_s'] = promoted.rpoSeconds;
  const kept = new Set((await api.all<{ id: string }>('/reflections')).map(({ id }) => id));
  figures['lost'] = [...acknowledged.keys()].filter((id) => !kept.has(id)).length;
  figures['promoted'] = healthOf(second);
  const again = await deploy<Applied>(second, 'apply');
  figures['apply_after_promotion_changes'] = again.containers.length;
  const postgres = idsOf(first, '--filter', 'label=com.docker.compose.service=postgres')[0]!;
  docker(first, 'start', postgres);
  await pause(15_000);
  const { stdout, stderr } = spawnSync('docker', ['logs', '--tail', '20', postgres], {
    env: envOf(first),
    encoding: 'utf8',
  });
  figures['old_one_stays_out'] = `${stdout}${stderr}`.includes('was promoted while this machine was away');
}

try {
  await upFromNothing();
  await secondApply();
  const scratch = join(work, 'scratch');
  mkdirSync(scratch);
  const tries = refusals({ network: second.network, folder: first.folder, address: first.address, scratch });
  figures['refusals'] = tries;
  figures['refused_untrusted'] = Object.entries(tries).every(
    ([name, came]) => name.startsWith('control') === (came === 'let in'),
  );
  const proxy = await throughTheProxy();
  figures['proxy'] = proxy;
  figures['ui_behind_sign_in'] = proxy['temporal ui, signed in'] === 200 && proxy['temporal ui, nobody'] === 401;
  if (!isShort) await inUse();
} catch (err) {
  say(err instanceof Error ? (err.stack ?? err.message) : String(err));
  figures['failed'] = err instanceof Error ? err.message : String(err);
  figures['healthy'] ??= false;
}
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit('failed' in figures ? 1 : 0));

/** A cycle on both, what watches, and the first one gone. */
async function inUse(): Promise<void> {
  const acknowledged = new Map<string, string | null>();
  await cycle(apiOf(first), acknowledged);
  const byMachine = Object.groupBy([...acknowledged.values()], (id) => id ?? 'none');
  figures['reflections'] = Object.fromEntries(Object.entries(byMachine).map(([id, all]) => [id, all!.length]));
  figures['both_reflect'] = machines.every(({ id }) => (byMachine[id] ?? []).length > 0);
  await observability();
  say(JSON.stringify(figures));
  await promotion(acknowledged);
}
