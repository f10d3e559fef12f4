import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { appVersion } from '../config/app-version.ts';
import { loadFleetFile } from '../config/fleet-file.ts';
import { fileChanges, writeFolder } from '../deploy/compose/folder.ts';
import {
  type HostPart,
  hostParts,
  programMends,
  type Programs,
  promotedHostParts,
} from '../deploy/compose/host-parts.ts';
import { hostKit, readShipped } from '../deploy/compose/kit.ts';
import { promoteStandby } from '../deploy/compose/promote.ts';
import { unitFiles } from '../deploy/compose/units.ts';
import { type ApiClient, createApiClient } from '../deploy/embedded/api-client.ts';
import { machinesReady, seedWorld } from '../deploy/embedded/birth.ts';
import { repositoryRoot } from '../deploy/embedded/own-parts.ts';
import { onPath } from '../deploy/embedded/resolve.ts';
import { postgresUser } from '../deploy/embedded/run-as.ts';
import { createScreen } from '../deploy/embedded/screen.ts';
import { deploySite } from '../domain/deploy-site.ts';
import { workflowBundle } from '../workers/bundle.ts';
import { outOfBounds } from './support/deploy-bounds.ts';
import { createBox } from './support/deploy-box.ts';
import { benchCompose } from './support/deploy-compose.ts';
import { lackingForBoxes, pathOfHost } from './support/deploy-programs.ts';
import { measurePromotion } from './support/deploy-promotion.ts';
import { measureReady, pathWithTools, withSourceFolder } from './support/deploy-ready.ts';
import { refusals } from './support/deploy-refusals.ts';
import { benchStandby, forwardApi } from './support/deploy-standby.ts';
import { measureUpgrade } from './support/deploy-upgrade.ts';
import { liveOn } from './support/live-on.ts';

/**
 * Two boxes, each a network of its own with one cable between them, made by the kit from nothing: `soulfra deploy init` and the
 * programs and settings that its parts have on hosts without Docker; the second box is the standby. Then: who is refused; the cable is
 * cut in mid-cycle; the coordinating box loses its power in mid-cycle. It loses its power and the disk of its Postgres, and is restored
 * from its repository: the ledger must be the same (`restore_equal`), and what had not left for the repository is lost (`rpo_s`). Last
 * it loses its power for good: the standby is promoted, and the old one, back with power, must stay out. What was acknowledged (a
 * reflection that the API has shown, a grant or a license that it has answered) must be there at the end (`lost`), but for what went with the disk. Then an upgrade from the
 * version before, and back (support/deploy-upgrade.ts).
 * `--cut=SECONDS` (60), `--agents=N` (90), `--only=boxes|promote|upgrade|ready|compose` (support/deploy-compose.ts, alone), `--previous=FOLDER`: a checkout of the version before with its
 * packages. `--short`, of the boxes and of compose: up, who is refused, and a second `apply`; test/chaos runs it. Boxes need root and what deploy/compose/host-parts.ts names; Temporal's server is built where it is not on PATH.
 */

const addresses = { pc2: '10.97.0.1', mainpc: '10.97.0.2' } as const;
const networks = { here: `sfra${process.pid}`, there: `sfrb${process.pid}` };
const insideFlag = 'inside';
/** Where this bench reaches the API of the promoted box. */
const promotedApiPort = 17_001;
const { values } = parseArgs({
  options: {
    cut: { type: 'string', default: '60' },
    agents: { type: 'string', default: '90' },
    only: { type: 'string' },
    previous: { type: 'string' },
    short: { type: 'boolean', default: false },
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
  'ready',
];

/** `ready` is a part of `boxes`, by itself without the rest. */
const phases = ['boxes', 'promote', 'upgrade', 'ready', 'compose'] as const;

const say = (text: string) => void process.stderr.write(`${text}\n`);
const ip = (...args: string[]) => {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
};

/** By routes at both ends: an end that is taken down would take its own address with it, which a box without a cable keeps. */
const cutTheLine = (isCut: boolean) => {
  const act = isCut ? 'add' : 'del';
  ip('route', act, 'blackhole', `${addresses.mainpc}/32`);
  ip('-n', values[insideFlag]!, 'route', act, 'blackhole', `${addresses.pc2}/32`);
};

type Figures = Record<string, unknown> & { why?: Record<string, string> };

async function outside(): Promise<number> {
  const figures: Figures = {};
  let code = 0;
  const { only } = values;
  if (only !== undefined && !phases.some((phase) => phase === only))
    throw new Error(`--only is one of ${phases.join(', ')}`);
  if (only === 'compose') return benchCompose({ agents: Number(values.agents), isShort: values.short, say });
  const wanted = values.short ? (['boxes'] as const) : (['boxes', 'promote', 'upgrade'] as const);
  const asked = only === undefined ? wanted : [only];
  for (const phase of asked) {
    const came = phase === 'upgrade' ? await upgrade() : await inBoxes(phase);
    const told = { ...figures.why, ...came.figures.why };
    Object.assign(figures, came.figures, { why: told });
    code ||= came.code;
  }
  const lacks = fields.filter((name) => figures[name] === undefined || figures[name] === null);
  const absent =
    only === undefined && !values.short
      ? 'the run ended before it'
      : `left out by ${only === undefined ? '--short' : `--only=${only}`}, or the run ended before it`;
  const reasons = Object.fromEntries(lacks.map((name) => [name, figures.why?.[name] ?? absent]));
  const nothing = Object.fromEntries(lacks.map((name) => [name, null]));
  const beyond = outOfBounds(figures, { phases: asked, isShort: values.short, agents: Number(values.agents) });
  if (beyond.length > 0) say(`out of bounds: ${beyond.join(', ')}`);
  process.stdout.write(`${JSON.stringify({ ...nothing, ...figures, ...nothing, why: reasons })}\n`);
  return beyond.length > 0 ? 1 : code;
}

async function upgrade(): Promise<{ code: number; figures: Figures }> {
  const work = mkdtempSync(join(tmpdir(), 'soulfra-upgrade-bench-'));
  // Postgres runs as another user, who has to pass through.
  chmodSync(work, 0o755);
  try {
    const { previous } = values;
    return { code: 0, figures: { ...(await measureUpgrade({ work, previous, agents: Number(values.agents), say })) } };
  } catch (err) {
    say(err instanceof Error ? (err.stack ?? err.message) : String(err));
    return { code: 1, figures: {} };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Makes the two networks, and runs this file anew in the first of them. */
async function inBoxes(phase: string): Promise<{ code: number; figures: Figures }> {
  const shared = mkdtempSync(join(tmpdir(), 'soulfra-deploy-programs-'));
  chmodSync(shared, 0o755);
  const { here, there } = networks;
  try {
    const servers = { ...process.env, PATH: await pathOfHost(process.env, shared, say) };
    const env =
      phase === 'promote' || values.short ? servers : { ...servers, PATH: pathWithTools(servers, shared, say) };
    const lacks = lackingForBoxes(env);
    if (lacks.length > 0) {
      const told = `not measured, this host lacks: ${lacks.join(', ')}`;
      return { code: 1, figures: { why: Object.fromEntries(fields.map((name) => [name, told])) } };
    }
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
      // The last one counts.
      `--only=${phase}`,
      `--${insideFlag}=${there}`,
    ];
    const child = spawn('ip', args, { env, stdio: ['inherit', 'pipe', 'inherit'] });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const code = await new Promise<number>((resolve, reject) =>
      child.once('error', reject).once('close', (code) => resolve(code ?? 1)),
    );
    const last = said.trim().split('\n').at(-1)!;
    return { code, figures: last === '' ? {} : (JSON.parse(last) as Figures) };
  } finally {
    for (const network of [here, there]) spawnSync('ip', ['netns', 'del', network]);
    rmSync(shared, { recursive: true, force: true });
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
  fleet.deploy.standby = 'mainpc';
  const site = deploySite(fleet);
  const programs = Object.fromEntries(
    Object.keys(programMends).map((name) => [name, onPath(name, process.env)!]),
  ) as Programs;
  const shipped = readShipped(join(repositoryRoot, 'deploy'));
  // Postgres runs as nobody whom the host does not know.
  const owner = postgresUser(process.env, [])!;
  const layoutIn = (at: string) => ({
    folder: at,
    root: repositoryRoot,
    node: process.execPath,
    programs,
    app: appVersion(),
    path: process.env['PATH'] ?? '/usr/bin:/bin',
  });
  const kit = hostKit(site, shipped, folder, programs);
  const write = () => writeFolder(folder, site, kit, new Map(), 'none', owner);
  await write();
  const [mainpc, pc2] = fleet.machines;
  // The other box has a disk of its own: a folder of its own here, with what `init` says that it needs and nothing else.
  const brought = join(work, 'kit-mainpc');
  await bringTo(brought, mainpc!.id);
  const boxOf = (machine: typeof pc2, network: string | undefined, at: string, parts: readonly HostPart[]) =>
    createBox({ network, parts, folder: at, logs: join(work, 'logs', machine!.id), owner });
  const first = boxOf(pc2, undefined, folder, withSourceFolder(hostParts(site, pc2!, layoutIn(folder))));
  const second = boxOf(mainpc, there, brought, hostParts(site, mainpc!, layoutIn(brought)));
  const promoted = boxOf(mainpc, there, brought, promotedHostParts(site, mainpc!, layoutIn(brought)));
  const token = readFileSync(join(folder, 'secrets/operator_token'), 'utf8').trim();
  const api = createApiClient({
    url: 'http://127.0.0.1:17000',
    token,
  });
  const screen = createScreen(process.stderr);
  const figures: Figures = {};
  let forward: ChildProcess | undefined;
  let cycles = 0;
  const allOff = async () => {
    forward?.kill();
    await Promise.all([first, second, promoted].map((box) => box.powerOff()));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void allOff().then(() => process.exit(1)));
  try {
    if (values.only === 'promote') {
      const data = (parts: readonly HostPart[]) => parts.filter(({ name }) => /^(postgres|synchronous)$/.test(name));
      const pair = {
        first: boxOf(pc2, undefined, folder, data(hostParts(site, pc2!, layoutIn(folder)))),
        copy: boxOf(mainpc, there, brought, data(hostParts(site, mainpc!, layoutIn(brought)))),
        promoted: boxOf(mainpc, there, brought, data(promotedHostParts(site, mainpc!, layoutIn(brought)))),
      };
      const host = benchStandby({ network: there, folder: brought, owner, copy: pair.copy, first: pair.promoted });
      figures['promotion'] = await measurePromotion({
        pair,
        asked: { folder: brought, site, standby: mainpc!, host },
        firstFolder: folder,
        addresses: { first: addresses.pc2, standby: addresses.mainpc },
        cutTheLine,
        say,
      });
      return 0;
    }
    // As an image ships it: who runs the workers may not write here.
    await workflowBundle();
    const since = Date.now();
    await Promise.all([first.up(), second.up()]);
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);
    figures['healthy'] = true;
    figures['up_s'] = seconds(since);
    const again = await write();
    figures['second_apply_changes'] = fileChanges(folder, kit).length + again.changes.length + again.made.length;

    const scratch = join(work, 'scratch');
    mkdirSync(scratch);
    figures['refusals'] = refusals({ network: there, folder, address: addresses.pc2, scratch });
    figures['refused_untrusted'] = Object.entries(figures['refusals'] as Record<string, string>).every(
      ([name, came]) => name.startsWith('control') === (came === 'let in'),
    );
    if (values.short) return 0;
    Object.assign(figures, await measureReady(api, pc2!.id));
    say(JSON.stringify(figures));
    if (values.only === 'ready') return 0;

    const endsAt = new Date().toISOString();
    await seedWorld(api, screen, { file: join(folder, 'config/fleet.yaml'), endsAt });
    const acknowledged = new Set<string>();
    const deal = await dealer();
    const hear = async () => {
      for (const { id } of await api.all<{ id: string }>('/reflections')) acknowledged.add(id);
      for (const id of await deal()) acknowledged.add(id);
    };
    const cut = Number(values.cut);
    await midway(hear);
    say(`the cable is cut for ${cut} s; ${acknowledged.size} reflections are acknowledged`);
    ip('link', 'set', 'cable', 'down');
    // Nothing is acknowledged meanwhile, since the copy is behind the cable; what is asked may wait as long.
    for (let second = 0; second < cut; second += 5) {
      const heard = hear().catch((err: Error) => say(`not heard with the cable cut: ${err.message}`));
      await Promise.all([pause(Math.min(5, cut - second) * 1000), Promise.race([heard, pause(5_000)])]);
    }
    ip('link', 'set', 'cable', 'up');
    figures['acknowledged_with_the_cable_cut'] = acknowledged.size;
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);

    await midway(hear);
    const dark = Date.now();
    await first.powerOff();
    say(`the coordinating box has no power; ${acknowledged.size} reflections are acknowledged`);
    await first.up();
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);
    figures['power_back_s'] = seconds(dark);

    await midway(hear);
    await second.powerOff();
    say('the other box has no power; nothing is acknowledged until it is back');
    await pause(15_000);
    await second.up();
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);

    await loseTheDisk(acknowledged, hear);

    await midway(hear);
    const gone = Date.now();
    await first.powerOff();
    say(`the coordinating box is gone for good; ${acknowledged.size} reflections are acknowledged`);
    const host = benchStandby({ network: there, folder: brought, owner, copy: second, first: promoted });
    const asked = { folder: brought, site, standby: mainpc!, fence: false, oldIsOff: false, say };
    // Cut off where the most is done already, and done again.
    const takeOver = () => Promise.reject(new Error('killed here'));
    const cutOff = await promoteStandby({ ...asked, host: { ...host, takeOver } }).catch((err: Error) => err.message);
    const promotion = await promoteStandby({ ...asked, host });
    figures['promoted_after_a_kill'] = cutOff === 'killed here';
    forward = await forwardApi(there, addresses.mainpc, promotedApiPort);
    const newApi = createApiClient({ url: `http://${addresses.mainpc}:${promotedApiPort}`, token });
    await machinesReady(newApi, screen, ['mainpc'], () => false);
    figures['rto_s'] = seconds(gone);
    figures['promotion_rpo_s'] = promotion.rpoSeconds;
    // What is written there is kept there.
    for (const id of await deal(newApi)) acknowledged.add(id);
    const kept = await keptBy(newApi);
    figures['backup_of_promoted'] = await onCluster<object>('create', {
      parts: promotedHostParts(site, mainpc!, layoutIn(brought)),
    });
    figures['acknowledged'] = acknowledged.size;
    figures['lost'] = [...acknowledged].filter((id) => !kept.has(id)).length;

    const back = await first.up().then(
      () => 'came up',
      (err: Error) => err.message,
    );
    figures['old_one_stays_out'] = back.includes('was promoted while this machine was away');
    if (figures['old_one_stays_out'] !== true) say(`the old one, with power again: ${back}`);
    return 0;
  } catch (err) {
    const lines = [first, second, promoted].map((box) => box.lastLines());
    say([err instanceof Error ? err.stack : String(err), ...lines].join('\n'));
    figures['healthy'] ??= false;
    return 1;
  } finally {
    await allOff();
    rmSync(work, { recursive: true, force: true });
    process.stdout.write(`${JSON.stringify({ ...figures, on: 'two network namespaces' })}\n`);
  }

  async function bringTo(to: string, machineId: string): Promise<void> {
    for (const part of ['secrets', 'tls', 'authority']) {
      mkdirSync(to, { recursive: true });
      const { status, stderr } = spawnSync('cp', ['-a', join(folder, part), to], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`cp ${part}: ${stderr}`);
    }
    const config = hostKit(site, shipped, to, programs);
    const files = new Map([...config, ...unitFiles(site, layoutIn(to), config, undefined)]);
    await writeFolder(to, site, files, new Map(), 'none', owner);
    const needed = new Set(files.get(`machines/${machineId}.files`)!.trim().split('\n'));
    for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && !needed.has(relative(to, path))) rmSync(path);
    }
  }

  /** Backs up, loses box and disk in mid-cycle, and restores from what had left until then. */
  async function loseTheDisk(acknowledged: Set<string>, hear: () => Promise<void>): Promise<void> {
    // A ledger without a row is equal to any other.
    const { userId } = await api.get<{ userId: string }>('/me');
    const grant = { userId, amount: 1_250, currency: 'EUR', reason: 'what a restore must bring back' };
    await api.post('/credits/grants', grant, randomUUID());
    figures['backup'] = await onCluster<object>('create');
    // It hands everything so far to the repository, and compares it with what can be restored.
    const drilled = await onCluster<ClusterFigures>('drill');
    figures['drill'] = { rpo_s: drilled.rpoSeconds, rto_s: drilled.rtoSeconds, rows: drilled.rows };
    figures['scheduled_drill'] = await drillBySchedule();
    await midway(hear);
    say(`box and disk are lost; ${acknowledged.size} reflections are acknowledged`);
    const lostAt = Date.now();
    await Promise.all([first.powerOff(), second.powerOff()]);
    const data = join(folder, 'data/postgres');
    for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true });
    const restored = await onCluster<ClusterFigures & { madeAt: string }>('restore', { args: ['--to', 'latest'] });
    figures['rpo_s'] = Math.max(0, Math.round((lostAt - Date.parse(restored.madeAt)) / 100) / 10);
    await Promise.all([first.up(), second.up()]);
    await machinesReady(api, screen, ['pc2', 'mainpc'], () => false);
    figures['restore_rto_s'] = seconds(lostAt);
    figures['restore_equal'] =
      restored.ledger.transfers > 0 &&
      restored.ledger.hash === drilled.ledger.hash &&
      (await api.get<{ items: unknown[] }>('/ledger/transfers?limit=1')).items.length === 1;
    const kept = await keptBy(api);
    // Not of `lost`: they had not left for the repository when its disk went, which is what `rpo_s` is the time of.
    const gone = [...acknowledged].filter((id) => !kept.has(id));
    figures['lost_with_the_disk'] = gone.length;
    for (const id of gone) acknowledged.delete(id);
  }

  /** As each Sunday: by its Schedule, the worker of backups, and the gauges of the API. */
  async function drillBySchedule(): Promise<object> {
    const drills = async () =>
      (await api.get<{ items: { id: string; state: string; reason: string }[] }>('/restore-drills?limit=1')).items[0];
    const before = (await drills())?.id;
    const script = join(repositoryRoot, 'bench/support/trigger-schedule-process.ts');
    const part = hostParts(site, site.coordination, layoutIn(folder)).find(({ name }) => name === 'backup')!;
    const { status, stderr } = spawnSync(process.execPath, [script, 'restore-drill'], {
      env: part.environment,
      encoding: 'utf8',
      timeout: 60_000,
    });
    if (status !== 0) throw new Error(`the Schedule of drills did not act: ${stderr}`);
    for (const until = Date.now() + 300_000; ; await pause(1_000)) {
      const drill = await drills();
      if (drill !== undefined && drill.id !== before && drill.state !== 'running') {
        if (drill.state !== 'done')
          throw new Error(`the drill of the Schedule ended as ${drill.state}: ${drill.reason}`);
        break;
      }
      if (Date.now() > until) throw new Error('no drill came of its Schedule');
    }
    const metrics = await (await fetch(`http://127.0.0.1:${fleet.metrics.port}/metrics`)).text();
    const gauge = (name: string) => {
      const found = new RegExp(`^soulfra_restore_drill_${name}_seconds(?:\\{.*\\})? (\\S+)$`, 'm').exec(metrics);
      return found === null ? null : Number(found[1]);
    };
    return { rpo_s: gauge('rpo'), rto_s: gauge('rto') };
  }

  /** What `soulfra deploy backup|drill|restore` starts beside the data, as whose it is. */
  async function onCluster<Result>(
    act: string,
    {
      args = [],
      parts = hostParts(site, site.coordination, layoutIn(folder)),
    }: { args?: readonly string[]; parts?: readonly HostPart[] } = {},
  ): Promise<Result> {
    const { environment } = parts.find(({ name }) => name === 'backup')!;
    const as = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--'];
    const program = join(repositoryRoot, 'deploy/cluster/main.ts');
    const child = spawn('setpriv', [...as, process.execPath, program, act, ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let last = '';
    for await (const text of createInterface({ input: child.stdout })) last = text;
    const told = JSON.parse(last) as { result: Result } | { failed: { message: string } };
    if ('failed' in told) throw new Error(`${act}: ${told.failed.message}`);
    return told.result;
  }

  /** @returns what grants credits and gives a license, and tells what was answered */
  async function dealer(): Promise<(at?: ApiClient) => Promise<string[]>> {
    const { userId } = await api.get<{ userId: string }>('/me');
    const [agent] = (await api.get<{ items: { id: string }[] }>('/agents?limit=1')).items;
    const { contentHash } = await api.post<{ contentHash: string }>(`/agents/${agent!.id}/loops`, {}, randomUUID());
    const [kind] = (await api.get<{ items: { id: string }[] }>('/license-kinds')).items;
    const reason = 'what a promotion must keep';
    return async (at = api) => {
      const grant = { userId, amount: 1, currency: 'EUR', reason };
      const { transferId } = await at.post<{ transferId: string }>('/credits/grants', grant, randomUUID());
      const license = { kind: kind!.id, packageHash: contentHash, reason };
      return [transferId, (await at.post<{ id: string }>('/licenses', license, randomUUID())).id];
    };
  }

  /** Ids of everything that may be acknowledged. */
  async function keptBy(from: ApiClient): Promise<Set<string>> {
    const all = await Promise.all(
      ['/reflections', '/ledger/transfers', '/licenses'].map((path) => from.all<{ id: string }>(path)),
    );
    return new Set(all.flat().map(({ id }) => id));
  }

  async function startCycle(): Promise<string> {
    cycles += 1;
    if (cycles > 1) await liveOn(api, { seed: cycles, days: 20 });
    return (await api.post<{ id: string }>('/sweeps', { trigger: 'call', agents: 'all' })).id;
  }

  /**
   * Begins a cycle, and waits until a part of it has ended and the rest has not. One that is over sooner, as one that a restore has
   * brought back in its middle may be, is followed by another.
   */
  async function midway(hear: () => Promise<void>): Promise<void> {
    for (let tried = 1; ; tried += 1) {
      if (await reachesMiddle(await startCycle())) return hear();
      if (tried === 3) throw new Error('each cycle was over before its middle: more --agents');
    }
  }

  async function reachesMiddle(id: string): Promise<boolean> {
    let sweepId = id;
    for (;;) {
      const sweep = await api.get<Sweep>(`/sweeps/${encodeURIComponent(sweepId)}`);
      sweepId = sweep.id;
      if (sweep.state !== 'running') return false;
      if (sweep.total > 0 && sweep.counts.done >= sweep.total * 0.2) return true;
      await pause(200);
    }
  }
}

const seconds = (since: number) => Math.round((Date.now() - since) / 100) / 10;

process.exitCode = await (values[insideFlag] === undefined ? outside() : inside(values[insideFlag]));
