import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunnableService } from '../../domain/service-units.ts';
import { NotStarted } from '../../integrations/supervisors/supervisor.ts';
import { createSystemd } from '../../integrations/supervisors/systemd.ts';
import { until } from '../support/lab.ts';
import { lacksSystemd, startSystemdHost, type SystemdHost } from '../support/systemd.ts';

describe.skipIf(lacksSystemd('services as units of a real systemd'))('units of a real systemd', () => {
  let host: SystemdHost;
  const before = { ...process.env };
  const unit = 'soulfra-quill.service';

  beforeAll(async () => {
    host = await startSystemdHost();
    // systemctl is told by its environment which systemd it speaks to.
    Object.assign(process.env, host.environment);
    writeFileSync(join(host.folder, 'say.mjs'), sayer);
  });
  afterAll(async () => {
    for (const name of Object.keys(host?.environment ?? {})) delete process.env[name];
    Object.assign(process.env, before);
    await host?.close();
  });

  const supervisor = (machineId = 'mainpc', home = 'home') =>
    createSystemd({
      machineId,
      scope: 'user',
      unitFolder: host.unitFolder,
      dataFolder: join(host.folder, home, 'services'),
    });
  const service = (change: Partial<RunnableService> = {}): RunnableService => ({
    id: 'quill',
    machineId: 'mainpc',
    folder: host.folder,
    command: [process.execPath, 'say.mjs', 'said.json', 'stays'],
    ports: [],
    gpu: false,
    environment: {},
    limits: {},
    ...change,
  });
  const mainPid = () => host.systemctl('show', unit, '--property=MainPID', '--value').then(Number);
  interface Said {
    words: string[];
    folder: string;
    variables: Record<string, string>;
  }
  const said = async (file: string): Promise<Said> => {
    await until(`${file} is written`, async () => existsSync(join(host.folder, file)));
    return JSON.parse(readFileSync(join(host.folder, file), 'utf8')) as Said;
  };

  test('a program gets the very words and variables that were trusted, and none of the worker', async () => {
    const odd = [
      '',
      ' a  b ',
      '"',
      "'",
      '\\',
      '\\n',
      '$HOME',
      '${HOME}',
      '%h',
      '%%',
      ';',
      '&&',
      '`id`',
      '@',
      '-x',
      '\n',
      '\t',
      'ä€🜁',
      '*',
      '~',
    ];
    const environment = { QUILL_KEY: 'a "b" \\ $HOME `id` %h\nsecond line', QUILL_EMPTY: '' };
    await supervisor().start(service({ command: [process.execPath, 'say.mjs', 'odd.json', ...odd], environment }));
    const { words, folder, variables } = await said('odd.json');
    expect(words).toEqual(odd);
    expect(folder).toBe(host.folder);
    expect(variables).toEqual(environment);
    expect(await supervisor().own()).toEqual(['quill']);
    await supervisor().stop('quill');
    expect(existsSync(join(host.unitFolder, unit))).toBe(false);
  });

  test('started twice it runs once; ended by a signal it is started again by systemd; stopped by SIGTERM it is gone', async () => {
    const own = supervisor();
    await own.start(service());
    const first = await mainPid();
    await own.start(service());
    expect(await mainPid()).toBe(first);
    process.kill(first, 'SIGKILL');
    await until('systemd starts it again', async () => ![0, first].includes(await mainPid()));
    await until('it stands', async () => (await own.look('quill')).state === 'running');
    const second = await mainPid();
    await own.stop('quill');
    await own.stop('quill');
    expect(existsSync(`/proc/${second}`)).toBe(false);
    expect(await own.look('quill')).toMatchObject({ state: 'stopped' });
  });

  test('described otherwise, it is started anew', async () => {
    await supervisor().start(service());
    const first = await mainPid();
    await supervisor().start(service({ limits: { tasks: 64 } }));
    expect(existsSync(`/proc/${first}`)).toBe(false);
    expect(await host.systemctl('show', unit, '--property=TasksMax', '--value')).toBe('64');
    const second = await mainPid();
    await supervisor().start(
      service({ limits: { tasks: 64 }, environment: { QUILL_KEY: randomBytes(4).toString('hex') } }),
    );
    expect([0, second]).not.toContain(await mainPid());
    await supervisor().stop('quill');
  });

  test('a machine leaves be what another one on the same host has taken over, and it runs on through that', async () => {
    await supervisor('mainpc').start(service());
    const running = await mainPid();
    await supervisor('pc2').start(service({ machineId: 'pc2' }));
    expect(await supervisor('mainpc').own()).toEqual([]);
    await supervisor('mainpc').stop('quill');
    expect(await mainPid()).toBe(running);
    await supervisor('pc2').stop('quill');
  });

  test('another Soulfra on the host leaves it be, too, and does not write over it', async () => {
    await supervisor().start(service());
    const other = supervisor('mainpc', 'other');
    expect(await other.own()).toEqual([]);
    await other.stop('quill');
    await expect(other.start(service())).rejects.toThrow('that belongs to the Soulfra of');
    expect((await supervisor().look('quill')).state).toBe('running');
    await supervisor().stop('quill');
  });

  test('what cannot run is told with its reason', async () => {
    const refused = supervisor().start(service({ folder: join(host.folder, 'nowhere') }));
    await expect(refused).rejects.toThrow('systemd does not start it: its working directory is not there');
    await expect(refused).rejects.toBeInstanceOf(NotStarted);
    await supervisor().start(service({ command: ['/bin/sh', '-c', 'sleep 0.3; exit 3'] }));
    await until('it has ended', async () => (await supervisor().look('quill')).reason.includes('code 3'));
    await supervisor().stop('quill');
  });
});

const sayer = `
import { renameSync, writeFileSync } from 'node:fs';
const [file, ...words] = process.argv.slice(2);
const variables = Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(QUILL|SOULFRA|DATABASE|TEMPORAL|REDIS)/.test(name)));
writeFileSync(file + '.next', JSON.stringify({ words, folder: process.cwd(), variables }));
renameSync(file + '.next', file);
setInterval(() => undefined, 60_000);
`;
