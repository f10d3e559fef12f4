import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { writeFolder } from '../../deploy/compose/folder.ts';
import { programMends, type Programs } from '../../deploy/compose/host-parts.ts';
import { composeKit, hostKit, readShipped } from '../../deploy/compose/kit.ts';
import {
  dropOldPromotion,
  promoteStandby,
  promotionIn,
  refuseNewSecrets,
  type StandbyHost,
} from '../../deploy/compose/promote.ts';
import { fencedName } from '../../deploy/compose/standby.ts';
import { unitFiles } from '../../deploy/compose/units.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { isDomainError } from '../../domain/errors.ts';

/** What a promotion decides by what it hears; that the servers do so is what `npm run bench -- deploy` shows. */

const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
fleet.deploy.addresses = { pc2: '10.8.0.1', mainpc: '10.8.0.2', gpu3: '10.8.0.3' };
fleet.deploy.standby = 'mainpc';
fleet.machines.push({ ...structuredClone(fleet.machines[0]!), id: 'gpu3', roles: {} });
const site = deploySite(fleet);
const standby = site.standby!;
const replayedAt = 1_700_000_000;
const justHeard = () => `synchronous ${Math.round(Date.now() / 1000) - 5}\n`;

/** A pair of machines as the standby's own script would tell of them. */
function pair(state: { old: 'dead' | 'lives' | 'half' | 'fenced'; word: string; copies?: boolean }) {
  let { old, copies = true } = state;
  let word = state.word;
  const asked: string[] = [];
  let dieAt: string | undefined;
  const answer = (who: string, sql: string): string => {
    if (who === 'word') return word;
    if (who === 'mark') return '';
    if (who === 'fenced') return old === 'fenced' ? 't' : 'f';
    if (who === 'promote') {
      copies = false;
      return '';
    }
    if (who === 'primary') {
      if (old === 'dead' || old === 'half') throw new Error('connection refused');
      if (sql.startsWith('show')) return old === 'fenced' ? `FIRST 1 (${fencedName})` : 'FIRST 1 (soulfra_standby)';
      if (sql.startsWith('alter')) old = 'fenced';
      return sql.includes('lsn') ? '0/3000148' : '';
    }
    if (sql.includes('pg_is_in_recovery')) return copies ? 't' : 'f';
    if (sql.includes('replay_timestamp')) return String(replayedAt);
    return 't';
  };
  const host: StandbyHost = {
    ask: (...words) => {
      const text = words.join(' ');
      asked.push(text);
      if (dieAt !== undefined && text.includes(dieAt)) return Promise.reject(new Error('killed'));
      return new Promise((resolve) => resolve(answer(words[0]!, words[1] ?? '')));
    },
    answers: () => Promise.resolve(old !== 'dead'),
    takeOver: () => {
      asked.push('take over');
      return Promise.resolve();
    },
  };
  const later = (now: { old: typeof old; word: string }) => void ({ old, word } = now);
  return {
    host,
    asked,
    later,
    dieAt: (text: string | undefined) => void (dieAt = text),
    state: () => ({ old, copies }),
  };
}

describe('a promotion', () => {
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'soulfra-promote-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const promote = ({ host }: { host: StandbyHost }, { fence = false, oldIsOff = false } = {}, said: string[] = []) =>
    promoteStandby({ folder, site, standby, host, fence, oldIsOff, say: (text) => void said.push(text) });
  const refused = async (asked: ReturnType<typeof pair>, told = {}) => {
    const err: unknown = await promote(asked, told).catch((thrown: unknown) => thrown);
    expect(isDomainError(err, 'CONFLICT')).toBe(true);
    expect(asked.asked.filter((text) => text === 'promote' || text === 'take over')).toEqual([]);
    expect(existsSync(join(folder, 'promoted.json'))).toBe(false);
    return (err as Error).message;
  };

  test('is refused while the old one answers, and changes nothing', async () => {
    const both = pair({ old: 'lives', word: justHeard() });
    expect(await refused(both)).toMatch(/pc2 still answers at 10\.8\.0\.1[\s\S]*--fence/);
    expect(both.state()).toEqual({ old: 'lives', copies: true });
    expect(await refused(pair({ old: 'half', word: justHeard() }), { fence: true })).toMatch(
      /port 5432, 7233, 17443[\s\S]*cannot be told to stop/,
    );
  });

  test('told to, it fences the old one before it takes all that it has', async () => {
    const both = pair({ old: 'lives', word: 'asynchronous 1700000000\n' });
    expect(await promote(both, { fence: true })).toMatchObject({ fence: 'fenced', missingSince: null, rpoSeconds: 0 });
    const steps = both.asked.map((text) => text.split(' ').slice(0, 3).join(' '));
    const at = (step: string) => steps.findIndex((each) => each.startsWith(step));
    expect(at('primary alter system')).toBeLessThan(at('fenced'));
    expect(at('fenced')).toBeLessThan(at('primary select pg_current_wal_flush_lsn'));
    expect(at('primary select pg_current_wal_flush_lsn')).toBeLessThan(at('mark'));
    expect(at('mark')).toBeLessThan(at('promote'));
    expect(at('promote')).toBeLessThan(at('take over'));
  });

  test('of a dead one that waited for the copy loses nothing', async () => {
    const said: string[] = [];
    const done = await promote(pair({ old: 'dead', word: justHeard() }), {}, said);
    expect(done).toMatchObject({ fence: 'waits_for_the_copy', missingSince: null, rpoSeconds: 0 });
    expect(said[0]).toMatch(/nothing acknowledged is missing/);
  });

  test.each(['asynchronous 1700000000\n', ''])(
    'of one that did not (%j) wants a word, and tells what is lost',
    async (word) => {
      expect(await refused(pair({ old: 'dead', word }))).toMatch(/did not wait for the copy[\s\S]*--old-is-off/);
      const said: string[] = [];
      const done = await promote(pair({ old: 'dead', word }), { oldIsOff: true }, said);
      expect(done).toMatchObject({ fence: 'said_to_be_off', missingSince: '2023-11-14T22:13:20.000Z' });
      expect(done.rpoSeconds).toBeGreaterThan(0);
      expect(said[0]).toMatch(/^ALARM: the copy was asynchronous[\s\S]*RPO at most \d+ s$/);
    },
  );

  test.each(['synchronous', 'unheard'])(
    'of one that was last heard of long ago (%s) wants a word, and tells from when on',
    async (word) => {
      const asked = () => pair({ old: 'dead', word: `${word} ${replayedAt + 60}\n` });
      expect(await refused(asked())).toMatch(/last heard of by mainpc at 2023-11-14T22:14:20\.000Z[\s\S]*--old-is-off/);
      const said: string[] = [];
      const done = await promote(asked(), { oldIsOff: true }, said);
      expect(done).toMatchObject({ missingSince: '2023-11-14T22:14:20.000Z', unheard: true });
      expect(said[0]).toMatch(/^ALARM: pc2 waited for the copy[\s\S]*RPO at most \d+ s; else nothing is$/);
    },
  );

  test.each(['primary show', 'word', 'mark', 'promote', 'alter system reset', 'pg_reload_conf'])(
    'killed at %s, it is done again, and says the same',
    async (at) => {
      const both = pair({ old: 'dead', word: 'asynchronous 1700000000\n' });
      both.dieAt(at);
      const first = await promote(both, { oldIsOff: true }).catch((err: Error) => err.message);
      // Who cannot be asked is taken for dead, which it is.
      if (at !== 'primary show') expect(first).toMatch(/\bkilled\b/);
      both.dieAt(undefined);
      const done = await promote(both, { oldIsOff: true });
      expect(done).toMatchObject({ from: 'pc2', to: 'mainpc', missingSince: '2023-11-14T22:13:20.000Z' });
      expect(both.state().copies).toBe(false);
      expect(both.asked.at(-1)).toBe('take over');
      expect(await promote(both)).toEqual(done);
    },
  );

  test('one that came back between two tries: the graver of both is told', async () => {
    const untold = pair({ old: 'dead', word: justHeard() });
    untold.dieAt('promote');
    const failed = await promote(untold).catch((err: Error) => err.message);
    expect(failed).toMatch(/did not end its recovery[\s\S]*run it again[\s\S]*04-promote-the-standby\.md/);
    untold.dieAt(undefined);
    // It acknowledged without the copy, and died.
    untold.later({ old: 'dead', word: 'asynchronous 1700000000\n' });
    await expect(promote(untold)).rejects.toThrow(/--old-is-off/);
    const said: string[] = [];
    const done = await promote(untold, { oldIsOff: true }, said);
    expect(done).toMatchObject({ missingSince: '2023-11-14T22:13:20.000Z', fence: 'said_to_be_off' });
    expect(done.rpoSeconds).toBeGreaterThan(0);
    expect(said[0]).toMatch(/^ALARM/);
  });

  test('and what was said to be missing is, unless all that the old one had was taken over since', async () => {
    const tried = async () => {
      const both = pair({ old: 'dead', word: 'asynchronous 1700000000\n' });
      both.dieAt('promote');
      await promote(both, { oldIsOff: true }).catch(() => undefined);
      both.dieAt(undefined);
      return both;
    };
    const silent = await tried();
    silent.later({ old: 'dead', word: justHeard() });
    expect(await promote(silent)).toMatchObject({ missingSince: '2023-11-14T22:13:20.000Z' });
    rmSync(join(folder, 'promoted.json'));
    const answers = await tried();
    answers.later({ old: 'lives', word: '' });
    expect(await promote(answers, { fence: true })).toMatchObject({
      fence: 'fenced',
      missingSince: null,
      rpoSeconds: 0,
    });
  });

  test('is refused of a Postgres that follows nobody and was never promoted', async () => {
    expect(await refused(pair({ old: 'dead', word: '', copies: false }))).toMatch(/follows nobody/);
  });

  test('counts no more once fleet.yaml has caught up', async () => {
    await promote(pair({ old: 'dead', word: justHeard() }));
    expect(promotionIn(folder, site)).toMatchObject({ from: 'pc2', to: 'mainpc' });
    const caughtUp = structuredClone(fleet);
    caughtUp.deploy = { ...caughtUp.deploy, coordination: 'mainpc', standby: 'pc2' };
    expect(promotionIn(folder, deploySite(caughtUp))).toBeUndefined();
  });
});

describe('the kit of a standby', () => {
  const shipped = readShipped(join(repositoryRoot, 'deploy'));
  const programs = Object.fromEntries(Object.keys(programMends).map((name) => [name, `/usr/bin/${name}`])) as Programs;
  const folder = '/srv/kit';
  const config = hostKit(site, shipped, folder, programs);
  const layout = { folder, root: '/srv/soulfra', node: '/usr/bin/node', app: '1', programs, path: '' };
  const units = unitFiles(site, layout, config, 'soulfra');
  const filesOf = (id: string) => new Set(units.get(`machines/${id}.files`)!.trim().split('\n'));

  test('has everything that its units name, before and after; other machines have no more than theirs', () => {
    const all = new Map([...config, ...units]);
    const brought = filesOf('mainpc');
    const named = (texts: (string | undefined)[]) =>
      texts.flatMap((text) =>
        [...text!.matchAll(/\/srv\/kit\/((?:config|promoted|secrets|tls)\/[\w./-]*\w)/g)].map((m) => m[1]!),
      );
    const own = [...brought].filter((path) => path.includes('units/mainpc/'));
    expect(own.map((path) => path.replace(/.*kit-(.*)\.service/, '$1')).toSorted()).toEqual([
      'api',
      'backup',
      'first-fleet',
      'postgres',
      'postgres',
      'redis',
      'synchronous',
      'synchronous',
      'temporal',
      'temporal-namespace',
      'temporal-schema',
      'worker',
      'worker',
    ]);
    const direct = named(own.map((path) => all.get(path)));
    const settings = direct.filter((path) => all.has(path));
    for (const path of [...direct, ...named(settings.map((path) => all.get(path)))].filter(
      (each) => !/grafana|rules$/.test(each),
    ))
      expect(brought.has(path), path).toBe(true);
    expect([...filesOf('gpu3')].filter((path) => /\.key$|password|operator_token|secret_key/.test(path))).toEqual([
      'tls/gpu3.key',
    ]);
    // What it dials once mainpc has taken over.
    expect(units.get('promoted/units/gpu3/soulfra-kit-worker.service')).toMatch(/TEMPORAL_ADDRESS=10\.8\.0\.2:7233/);
    expect(units.get('promoted/units/gpu3/soulfra-kit-worker.service')).toContain('database_url_by_address.promoted');
  });

  test.each(['containers', 'units'])(
    '%s: promoted, it makes no secret anew when it becomes the coordinating one',
    async (kind) => {
      const work = mkdtempSync(join(tmpdir(), 'soulfra-promote-'));
      try {
        const [old, promoted] = [join(work, 'pc2'), join(work, 'mainpc')];
        const kitIn = (at: string, of: typeof site) => {
          if (kind === 'containers') return composeKit(of, shipped);
          const kit = hostKit(of, shipped, at, programs);
          return new Map([...kit, ...unitFiles(of, { ...layout, folder: at }, kit, 'soulfra')]);
        };
        const own = new Map([['own/alertmanager.yaml', 'route: {}\n']]);
        const kit = kitIn(old, site);
        await writeFolder(old, site, kit, own, 'soulfra:1');
        for (const path of kit.get('machines/mainpc.files')!.trim().split('\n'))
          cpSync(join(old, path), join(promoted, path), { recursive: true });
        writeFileSync(join(promoted, 'promoted.json'), JSON.stringify({ from: 'pc2', to: 'mainpc', begunAt: '' }));
        cpSync(join(old, 'authority'), join(promoted, 'authority'), { recursive: true });
        const exchanged = structuredClone(fleet);
        exchanged.deploy = { ...exchanged.deploy, coordination: 'mainpc', standby: 'pc2' };
        const after = deploySite(exchanged);
        refuseNewSecrets(promoted);
        const { made } = await writeFolder(promoted, after, kitIn(promoted, after), own, 'soulfra:1');
        expect(made.filter((path) => !path.startsWith('tls/'))).toEqual([]);
        const password = (folder_: string) =>
          /:([^:@]+)@/.exec(readFileSync(join(folder_, 'secrets/database_url'), 'utf8'))![1];
        expect(password(promoted)).toBe(password(old));
        // What the data were made with is not made up where it was not brought.
        rmSync(join(promoted, 'secrets/soulfra_password'));
        expect(() => refuseNewSecrets(promoted)).toThrow(/lacks what belongs to the data: secrets\/soulfra_password\./);
        // One that took over from nobody makes what a newer kit has more.
        dropOldPromotion(promoted, after);
        expect(() => refuseNewSecrets(promoted)).not.toThrow();
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    },
  );

  test('has the same shards as the first one, and the first one looks whether it was promoted', () => {
    const shards = (text: string | undefined) => /numHistoryShards: (\d+)/.exec(text!)![1];
    expect(shards(config.get('promoted/temporal.yaml'))).toBe(shards(config.get('config/temporal.yaml')));
    expect(config.get('config/postgres-start.sh')).toContain('config/fenced.sh');
    expect(config.get('promoted/postgres-start.sh')).not.toContain('fenced.sh');
    const compose = composeKit(site, shipped);
    expect(compose.get('coordination.yaml')).toContain('fenced.sh');
    expect(compose.get('promoted/inference-gpu3.yaml')).toContain('postgres.soulfra: 10.8.0.2');
    expect(compose.get('inference-gpu3.yaml')).toContain('postgres.soulfra: 10.8.0.1');
  });

  test('names who leads the version of workflows, before and after, as units and as containers', () => {
    const compose = composeKit(site, shipped);
    const version = (text: string | undefined) => /SOULFRA_WORKER_VERSION[:=] ?"?(\w+)/.exec(text!)![1];
    expect(version(compose.get('coordination.yaml'))).toBe('leads');
    expect(version(units.get('units/pc2/soulfra-kit-worker.service'))).toBe('leads');
    for (const [id, later] of [
      ['mainpc', 'leads'],
      ['gpu3', 'follows'],
    ] as const) {
      expect(version(compose.get(`inference-${id}.yaml`))).toBe('follows');
      expect(version(units.get(`units/${id}/soulfra-kit-worker.service`))).toBe('follows');
      expect(version(compose.get(`promoted/inference-${id}.yaml`))).toBe(later);
      expect(version(units.get(`promoted/units/${id}/soulfra-kit-worker.service`))).toBe(later);
    }
  });

  test('its scripts are ones that bash reads', () => {
    for (const [name, text] of [...config, ...composeKit(site, shipped)].filter(([path]) => path.endsWith('.sh')))
      expect(spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' }).stderr, name).toBe('');
  });
});
