import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { Finding } from '../../domain/readiness.ts';
import { stopTrialsOf } from '../../stores/stop-trials.ts';
import { createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';
import { freePort } from '../support/prometheus.ts';
import { runSoulfra } from '../support/command.ts';
import { inFolder } from '../support/imported.ts';
import { until } from '../support/lab.ts';

/** Each listens, so that it is known when it is up; how it takes SIGTERM is its own. */
const listen = "const server = require('node:net').createServer().listen(Number(process.argv[2]), '127.0.0.1');\n";
const scripts = {
  graceful: `${listen}process.on('SIGTERM', () => server.close(() => process.exit(0)));\n`,
  unhandled: listen,
  failing: `${listen}process.on('SIGTERM', () => process.exit(3));\n`,
  littering: `${listen}require('node:child_process').spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' }).unref();\nprocess.on('SIGTERM', () => process.exit(0));\n`,
  ending: 'process.exit(7);\n',
  // Started by its own first line, so that what reads it stands before it in the list of processes.
  scripted: `#!${process.execPath} --no-warnings\nsetInterval(() => undefined, 1_000);\n`,
};
type Script = keyof typeof scripts;

/** A home whose fleet.d has one service a script, and whose trust file agrees to some of them. */
async function assess(
  trusted: readonly Script[],
  tried: readonly Script[],
  {
    port,
    yes = true,
    more = [],
    env = {},
  }: { port?: number; yes?: boolean; more?: string[]; env?: Record<string, string> } = {},
  before: (home: string) => Promise<void> = () => Promise.resolve(),
) {
  return inFolder({ 'repo/docs/runbook.md': '# What to do\n' }, async (home) => {
    const ids = Object.keys(scripts) as Script[];
    const ports = new Map<Script, number>();
    for (const id of ids) ports.set(id, port ?? (await freePort()));
    const words = (id: Script) =>
      id === 'scripted' ? [join(home, 'repo/scripted.cjs')] : [process.execPath, `${id}.cjs`, String(ports.get(id))];
    for (const id of ids) writeFileSync(join(home, 'repo', `${id}.cjs`), scripts[id], { mode: 0o755 });
    mkdirSync(join(home, 'fleet.d'));
    mkdirSync(join(home, '.soulfra'), { mode: 0o700 });
    const services = ids.map((id) => ({
      id,
      kind: 'process',
      command: words(id),
      ports: id === 'ending' || id === 'scripted' ? [] : [{ name: 'main', port: ports.get(id) }],
      source: `${id}.cjs:1`,
    }));
    writeFileSync(join(home, 'fleet.d/own.yaml'), stringify({ version: 1, services }));
    writeFileSync(
      join(home, '.soulfra/trust.yaml'),
      stringify({
        version: 1,
        services: trusted.map((id) => ({ id, command: words(id), folder: join(home, 'repo') })),
      }),
      { mode: 0o600 },
    );
    const options = tried.flatMap((id) => ['--try-stop', id]);
    await before(home);
    const ended = await runSoulfra(
      [...(yes ? ['--yes'] : []), 'readiness', 'repo', '--local', '--format', 'json', ...options, ...more],
      { cwd: home, env },
    );
    const found = ended.out === '' ? [] : (JSON.parse(ended.out) as { findings: Finding[] }).findings;
    const of = (id: string) =>
      found
        .filter(({ rule, subject }) => rule.startsWith('stop-') && subject === id)
        .map(({ rule, evidence }) => `${rule}: ${evidence}`);
    return { ...ended, of };
  });
}

test('how a service takes SIGTERM is seen, each end with what it left; nothing of it runs on', async () => {
  const all: Script[] = ['graceful', 'unhandled', 'failing', 'littering', 'ending', 'scripted'];
  const { of, err } = await assess(all, all);
  expect(err).not.toContain('Error');
  expect(of('graceful')).toEqual([]);
  expect(of('unhandled')).toEqual([]);
  expect(of('scripted')).toEqual([]);
  expect(of('failing')).toEqual([expect.stringMatching(/^stop-fails: it ended by code 3 [\d.]+ s after SIGTERM$/)]);
  expect(of('littering')).toEqual([
    expect.stringMatching(/^stop-leaves-behind: it ended by code 0 .*left: process sleep \(\d+\)$/),
  ]);
  expect(of('ending')).toEqual(['stop-untried: it ended by itself before it could be stopped: code 7']);
  expect(of('services')).toEqual([]);
  const pid = /sleep \((\d+)\)/.exec(of('littering')[0]!)![1];
  expect(livingNames(pid!)).not.toContain('sleep');
});

test('what the trust file does not agree to is not run, and what was not tried is unknown', async () => {
  const { of } = await assess(['graceful'], ['failing']);
  expect(of('failing')).toEqual([
    'stop-untried: command not trusted on this machine; there run `soulfra services trust failing`',
  ]);
  expect(of('services')).toEqual(['stop-untried: 5 of 6 were not stopped by SIGTERM and looked at']);
});

test('nothing is tried beside one that runs already, nor unless somebody agrees', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  try {
    const { of } = await assess(['graceful'], ['graceful'], { port });
    expect(of('graceful')).toEqual([`stop-untried: something listens at ${port} here already`]);
  } finally {
    server.close();
  }
  let running: ChildProcess | undefined;
  try {
    const { of } = await assess(['scripted'], ['scripted'], {}, async (home) => {
      running = spawn(join(home, 'repo/scripted.cjs'), { stdio: 'ignore' });
      await once(running, 'spawn');
    });
    expect(of('scripted')).toEqual([`stop-untried: it runs here already (process ${running!.pid})`]);
  } finally {
    running?.kill('SIGKILL');
  }
  const unasked = await assess(['graceful'], ['graceful'], { yes: false });
  expect([unasked.code, unasked.err]).toEqual([2, expect.stringContaining('Nobody can answer here')]);
});

test('with --keep the fleet is told what was seen, of the command that it was seen of', async () => {
  const api = await createApiFixture();
  try {
    const url = await api.app.listen({ port: 0, host: '127.0.0.1' });
    const env = { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.operator };
    const unknown = await assess(['failing'], ['failing'], { more: ['--keep'], env });
    expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('no service failing')]);
    const { code } = await assess(['failing'], ['failing', 'graceful'], { more: ['--keep'], env }, async (home) => {
      const source = readFileSync(join(home, 'fleet.d/own.yaml'), 'utf8');
      const { status } = await api.call('POST', '/v1/fleet/apply', {
        body: { source: smallFleet, serviceFiles: [{ name: 'own.yaml', source }] },
      });
      expect(status).toBe(200);
    });
    expect(code).toBe(1);
    // One was not trusted, so that nothing of it was seen.
    expect(await stopTrialsOf(api.db, api.ownerId)).toEqual([
      {
        service: 'failing',
        refused: null,
        ended: true,
        said: 'code 3',
        clean: false,
        seconds: expect.any(Number) as number,
        left: [],
        triedOn: new Date().toISOString().slice(0, 10),
      },
    ]);
    expect(await stopTrialsOf(api.db, api.stranger.ownerId)).toEqual([]);
  } finally {
    await api.close();
  }
  const alone = await runSoulfra(['readiness', 'repo', '--local', '--keep'], { cwd: '/', env: {} });
  expect([alone.code, alone.err]).toEqual([2, expect.stringContaining('Add --try-stop SERVICE')]);
});

test('a service of no file is refused by name, and so is a trial through the fleet', async () => {
  const { code, err } = await assess([], ['graceful', 'nobody' as Script]);
  expect([code, err]).toEqual([2, expect.stringContaining('No file of fleet.d describes nobody')]);
  const remote = await runSoulfra(['readiness', 'repo', '--try-stop', 'graceful'], { cwd: '/', env: {} });
  expect([remote.code, remote.err]).toEqual([2, expect.stringContaining('Add --local')]);
});

test('where the terminal is closed nothing of a trial runs on', async () => {
  await inFolder({ 'repo/docs/runbook.md': '# What to do\n' }, async (home) => {
    // It never listens, so that the trial lasts until it is left.
    const port = await freePort();
    const mark = join(home, 'repo/mark');
    const text = `require('node:child_process').spawn('/bin/sleep', ['601'], { detached: true, stdio: 'ignore' }).once('spawn', () => require('node:fs').writeFileSync('mark', '')).unref();\nsetInterval(() => undefined, 1_000);\n`;
    writeFileSync(join(home, 'repo/a.cjs'), text);
    mkdirSync(join(home, 'fleet.d'));
    mkdirSync(join(home, '.soulfra'), { mode: 0o700 });
    const command = [process.execPath, 'a.cjs'];
    const services = [{ id: 'a', kind: 'process', command, ports: [{ name: 'main', port }], source: 'a.cjs:1' }];
    writeFileSync(join(home, 'fleet.d/own.yaml'), stringify({ version: 1, services }));
    const trusted = { version: 1, services: [{ id: 'a', command, folder: join(home, 'repo') }] };
    writeFileSync(join(home, '.soulfra/trust.yaml'), stringify(trusted), { mode: 0o600 });
    const own = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && folderOf(pid) === join(home, 'repo'));
    const launcher = fileURLToPath(new URL('../../cli/soulfra.js', import.meta.url));
    const child = spawn(process.execPath, [launcher, '--yes', 'readiness', 'repo', '--local', '--try-stop', 'a'], {
      cwd: home,
      env: { PATH: process.env['PATH'] },
      stdio: 'ignore',
    });
    const ended = once(child, 'close');
    await until('it has begun', () => Promise.resolve(existsSync(mark)));
    expect(own()).toHaveLength(2);
    child.kill('SIGHUP');
    await ended;
    expect(own()).toEqual([]);
  });
});

function folderOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function livingNames(pid: string): string[] {
  return readdirSync('/proc').includes(pid) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
    ? [readFileSync(`/proc/${pid}/comm`, 'utf8').trim()]
    : [];
}
