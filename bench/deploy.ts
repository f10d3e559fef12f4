import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { appVersion } from '../config/app-version.ts';
import { loadFleetFile } from '../config/fleet-file.ts';
import { fileChanges, writeFolder } from '../deploy/compose/folder.ts';
import { hostParts, programMends, type Programs } from '../deploy/compose/host-parts.ts';
import { hostKit, readShipped } from '../deploy/compose/kit.ts';
import { createApiClient } from '../deploy/embedded/api-client.ts';
import { machinesReady, seedWorld } from '../deploy/embedded/birth.ts';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { onPath } from '../deploy/embedded/resolve.ts';
import { postgresUser } from '../deploy/embedded/run-as.ts';
import { createScreen } from '../deploy/embedded/screen.ts';
import { deploySite } from '../domain/deploy-site.ts';
import { workflowBundle } from '../workers/bundle.ts';
import { createBox } from './support/deploy-box.ts';

/**
 * Two boxes, each a network of its own with one cable between them, made by the kit from nothing: `soulfra deploy init` and the
 * programs and settings that its parts have on hosts without Docker. Then: who is refused; the cable is cut in mid-cycle; the
 * coordinating box loses its power in mid-cycle. What was acknowledged (a reflection that the API has shown) must be there at the end.
 * Last the box loses its power and the disk of its Postgres in mid-cycle, and is restored from its repository: the ledger must be the
 * same (`restore_equal`), and what had not left for the repository is lost (`rpo_s`).
 * `--cut=SECONDS` (60), `--agents=N` (90). Needs root, and on PATH what deploy/compose/host-parts.ts names.
 */

const addresses = { pc2: '10.97.0.1', mainpc: '10.97.0.2' } as const;
const networks = { here: `sfra${process.pid}`, there: `sfrb${process.pid}` };
const insideFlag = 'inside';
const { values } = parseArgs({
  options: {
    cut: { type: 'string', default: '60' },
    agents: { type: 'string', default: '90' },
    [insideFlag]: { type: 'string' },
  },
});

/** What the line always has. */
const fields = [
  'healthy',
  'lost',
  'refused_untrusted',
  'restore_equal',
  'second_apply_changes',
  'upgrade_nondeterminism',
  'rto_s',
  'rpo_s',
];

/** What has no measurement yet says so, and is no figure. */
const why: Record<string, string> = {
  upgrade_nondeterminism: 'no upgrade from an earlier version is done here yet',
};

const say = (text: string) => void process.stderr.write(`${text}\n`);
const ip = (...args: string[]) => {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
};

function lacking(): string[] {
  const programs = [...Object.keys(programMends), 'ip', 'nsenter', 'setpriv'].filter(
    (name) => onPath(name, process.env) === undefined,
  );
  return [...(process.getuid?.() === 0 ? [] : ['root']), ...programs];
}

/** Makes the two networks, and runs this file anew in the first of them. */
async function outside(): Promise<number> {
  const lacks = lacking();
  if (lacks.length > 0) {
    const told = `not measured, this host lacks: ${lacks.join(', ')}`;
    const nothing = Object.fromEntries(fields.map((name) => [name, null]));
    process.stdout.write(
      `${JSON.stringify({ ...nothing, why: Object.fromEntries(fields.map((name) => [name, why[name] ?? told])) })}\n`,
    );
    return 1;
  }
  const { here, there } = networks;
  try {
    ip('netns', 'add', here);
    ip('netns', 'add', there);
    ip('link', 'add', 'cable', 'netns', here, 'type', 'veth', 'peer', 'name', 'cable', 'netns', there);
    for (const [network, address] of [
      [here, addresses.pc2],
      [there, addresses.mainpc],
    ] as const) {
      ip('-n', network, 'addr', 'add', `${address}/30`, 'dev', 'cable');
      for (const device of ['lo', 'cable']) ip('-n', network, 'link', 'set', device, 'up');
    }
    const args = [
      'netns',
      'exec',
      here,
      process.execPath,
      process.argv[1]!,
      ...process.argv.slice(2),
      `--${insideFlag}=${there}`,
    ];
    const child = spawn('ip', args, { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
    return await new Promise((resolve, reject) =>
      child.once('error', reject).once('exit', (code) => resolve(code ?? 1)),
    );
  } finally {
    for (const network of [here, there]) spawnSync('ip', ['netns', 'del', network]);
  }
}

interface ClusterFigures {
  rows: number;
  ledger: { transfers: number; hash: string };
  rpoSeconds: number;
  rtoSeconds: number;
}

interface Sweep {
  id: string;
  state: string;
  total: number;
  counts: Record<'done' | 'empty' | 'failed' | 'canceled' | 'parked', number>;
}

async function inside(there: string): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'soulfra-deploy-bench-'));
  // The parts run as another user, who has to pass through.
  spawnSync('chmod', ['755', work]);
  const folder = join(work, 'kit');
  const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
  const all = fleet.archetypes.reduce((sum, { count }) => sum + count, 0);
  const share = Number(values.agents) / all;
  fleet.agents = {};
  for (const archetype of fleet.archetypes) archetype.count = Math.max(1, Math.round(archetype.count * share));
  fleet.deploy.addresses = { ...addresses };
  const site = deploySite(fleet);
  const programs = Object.fromEntries(
    Object.keys(programMends).map((name) => [name, onPath(name, process.env)!]),
  ) as Programs;
  const kit = hostKit(site, readShipped(join(repositoryRoot, 'deploy')), folder, programs);
  // Postgres runs as nobody whom the host does not know.
  const owner = postgresUser(process.env, [])!;
  const write = () => writeFolder(folder, site, kit, new Map(), 'none', owner);
  await write();
  const layout = {
    folder,
    root: repositoryRoot,
    node: process.execPath,
    programs,
    app: appVersion(),
    path: process.env['PATH'] ?? '/usr/bin:/bin',
  };
  const [mainpc, pc2] = fleet.machines;
  const boxOf = (machine: typeof pc2, network: string | undefined) =>
    createBox({
      network,
      parts: hostParts(site, machine!, layout),
      folder,
      logs: join(work, 'logs', machine!.id),
      owner,
    });
  const first = boxOf(pc2, undefined);
  const second = boxOf(mainpc, there);
  const api = createApiClient({
    url: 'http://127.0.0.1:17000',
    token: readFileSync(join(folder, 'secrets/operator_token'), 'utf8').trim(),
  });
  const screen = createScreen(process.stderr);
  const figures: Record<string, unknown> = {};
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void Promise.all([first.powerOff(), second.powerOff()]).then(() => process.exit(1)));
  try {
    // As an image ships it: who runs the workers may not write here.
    await workflowBundle();
    const since = Date.now();
    await Promise.all([first.up(), second.up()]);
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);
    figures['healthy'] = true;
    figures['up_s'] = seconds(since);
    const again = await write();
    figures['second_apply_changes'] = fileChanges(folder, kit).length + again.changes.length + again.made.length;

    figures['refusals'] = refusals(there, folder, work);
    figures['refused_untrusted'] = Object.entries(figures['refusals'] as Record<string, string>).every(
      ([name, came]) => name.startsWith('control') === (came === 'let in'),
    );
    say(JSON.stringify(figures));

    const endsAt = new Date().toISOString();
    await seedWorld(api, screen, { file: join(folder, 'config/fleet.yaml'), endsAt });
    const acknowledged = new Set<string>();
    const hear = async () => {
      for (const { id } of await api.all<{ id: string }>('/reflections')) acknowledged.add(id);
    };
    const cut = Number(values.cut);
    await midway(await startCycle(), hear);
    say(`the cable is cut for ${cut} s; ${acknowledged.size} reflections are acknowledged`);
    ip('link', 'set', 'cable', 'down');
    for (let second = 0; second < cut; second += 5) {
      await pause(Math.min(5, cut - second) * 1000);
      await hear();
    }
    ip('link', 'set', 'cable', 'up');
    figures['acknowledged_with_the_cable_cut'] = acknowledged.size;
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);

    await midway(await startCycle(), hear);
    const dark = Date.now();
    await first.powerOff();
    say(`the coordinating box has no power; ${acknowledged.size} reflections are acknowledged`);
    await first.up();
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);
    figures['rto_s'] = seconds(dark);

    const kept = new Set((await api.all<{ id: string }>('/reflections')).map(({ id }) => id));
    figures['acknowledged'] = acknowledged.size;
    figures['lost'] = [...acknowledged].filter((id) => !kept.has(id)).length;
    await loseTheDisk(acknowledged, hear);
    return 0;
  } catch (err) {
    say(`${err instanceof Error ? err.stack : String(err)}\n${first.lastLines()}\n${second.lastLines()}`);
    figures['healthy'] ??= false;
    return 1;
  } finally {
    await Promise.all([first.powerOff(), second.powerOff()]);
    rmSync(work, { recursive: true, force: true });
    process.stdout.write(`${JSON.stringify({ ...missing(figures), ...figures, on: 'two network namespaces', why })}\n`);
  }

  /** Backs up, loses box and disk in mid-cycle, and restores from what had left until then. */
  async function loseTheDisk(acknowledged: ReadonlySet<string>, hear: () => Promise<void>): Promise<void> {
    // A ledger without a row is equal to any other.
    const { userId } = await api.get<{ userId: string }>('/me');
    const grant = { userId, amount: 1_250, currency: 'EUR', reason: 'what a restore must bring back' };
    await api.post('/credits/grants', grant, randomUUID());
    figures['backup'] = await onCluster<object>('create');
    // It hands everything so far to the repository, and compares it with what can be restored.
    const drilled = await onCluster<ClusterFigures>('drill');
    figures['drill'] = { rpo_s: drilled.rpoSeconds, rto_s: drilled.rtoSeconds, rows: drilled.rows };
    await midway(await startCycle(), hear);
    say(`box and disk are lost; ${acknowledged.size} reflections are acknowledged`);
    const lostAt = Date.now();
    await Promise.all([first.powerOff(), second.powerOff()]);
    const data = join(folder, 'data/postgres');
    for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true });
    const restored = await onCluster<ClusterFigures & { madeAt: string }>('restore', '--to', 'latest');
    figures['rpo_s'] = Math.max(0, Math.round((lostAt - Date.parse(restored.madeAt)) / 100) / 10);
    await Promise.all([first.up(), second.up()]);
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);
    figures['restore_rto_s'] = seconds(lostAt);
    figures['restore_equal'] =
      restored.ledger.transfers > 0 &&
      restored.ledger.hash === drilled.ledger.hash &&
      (await api.get<{ items: unknown[] }>('/ledger/transfers?limit=1')).items.length === 1;
    const kept = new Set((await api.all<{ id: string }>('/reflections')).map(({ id }) => id));
    // Not of `lost`: they had not left for the repository when its disk went, which is what `rpo_s` is the time of.
    figures['lost_with_the_disk'] = [...acknowledged].filter((id) => !kept.has(id)).length;
  }

  /** What `soulfra deploy backup|drill|restore` starts beside the data, as whose it is. */
  async function onCluster<Result>(...args: string[]): Promise<Result> {
    const { environment } = hostParts(site, site.coordination, layout).find(({ name }) => name === 'backup')!;
    const as = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--'];
    const program = join(repositoryRoot, 'deploy/cluster/main.ts');
    const child = spawn('setpriv', [...as, process.execPath, program, ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let last = '';
    for await (const text of createInterface({ input: child.stdout })) last = text;
    const told = JSON.parse(last) as { result: Result } | { failed: { message: string } };
    if ('failed' in told) throw new Error(`${args[0]}: ${told.failed.message}`);
    return told.result;
  }

  async function startCycle(): Promise<string> {
    return (await api.post<{ id: string }>('/sweeps', { trigger: 'call', agents: 'all' })).id;
  }

  /** Waits until a part of the cycle has ended, and the rest has not. */
  async function midway(id: string, hear: () => Promise<void>): Promise<void> {
    let sweepId = id;
    for (;;) {
      const sweep = await api.get<Sweep>(`/sweeps/${encodeURIComponent(sweepId)}`);
      sweepId = sweep.id;
      if (sweep.state !== 'running') throw new Error('the cycle was over before its middle: more --agents');
      if (sweep.total > 0 && sweep.counts.done >= sweep.total * 0.2) return hear();
      await pause(200);
    }
  }
}

function refusals(there: string, folder: string, work: string): Record<string, string> {
  const scratch = join(work, 'scratch');
  mkdirSync(scratch);
  const asked = {
    folder,
    address: addresses.pc2,
    ports: { postgres: 5432, redis: 6379, temporal: 7233 },
    machine: 'mainpc',
    scratch,
  };
  const script = join(repositoryRoot, 'bench/support/deploy-refusals-process.ts');
  const { stdout, stderr, status } = spawnSync(
    'nsenter',
    [`--net=/run/netns/${there}`, process.execPath, script, JSON.stringify(asked)],
    { encoding: 'utf8', timeout: 180_000 },
  );
  if (status !== 0) throw new Error(`the tries ended by ${status}: ${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, string>;
}

function missing(figures: Record<string, unknown>): Record<string, null> {
  for (const name of fields) if (figures[name] === undefined) why[name] ??= 'the run ended before it';
  return Object.fromEntries(fields.filter((name) => figures[name] === undefined).map((name) => [name, null]));
}

const seconds = (since: number) => Math.round((Date.now() - since) / 100) / 10;

process.exitCode = await (values[insideFlag] === undefined ? outside() : inside(values[insideFlag]));
