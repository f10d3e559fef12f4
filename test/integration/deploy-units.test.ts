import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { applyUnits, refuseHostFaults, unitChanges, type UnitHost } from '../../deploy/compose/apply-units.ts';
import { unitOf } from '../../deploy/compose/units.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { isDomainError } from '../../domain/errors.ts';
import { mountSmall } from '../support/backup-stage.ts';
import { lacksSystemd, startSystemdHost, type SystemdHost } from '../support/systemd.ts';

/** Shaped as the kit's own: each in its folder, up once its ready file is there. */
function unitText(folder: string, name: string, { after = [] as string[], run = 'exec sleep 600', once = false } = {}) {
  const needed = after.map((each) => `soulfra-kit-${each}.service`).join(' ');
  return [
    '[Unit]',
    'DefaultDependencies=no',
    `Description=${name}`,
    ...(needed === '' ? [] : [`After=${needed}`, `Requires=${needed}`]),
    '[Service]',
    ...(once ? ['Type=oneshot', 'RemainAfterExit=yes'] : ['Type=exec']),
    `ExecStart=:/bin/sh -c 'echo ${name} >> ${folder}/begun; ${run}'`,
    ...(once ? [] : [`ExecStartPost=:/bin/sh -c 'sleep 0.3; echo ${name} is up >> ${folder}/begun'`]),
    'TimeoutStartSec=30',
    `WorkingDirectory=${folder}`,
    '[Install]',
    'WantedBy=default.target',
    '',
  ].join('\n');
}

describe.skipIf(lacksSystemd('units of the kit are applied by a real systemd'))('units of the kit', () => {
  let systemd: SystemdHost;
  let host: UnitHost;
  beforeAll(async () => {
    systemd = await startSystemdHost();
    host = { scope: 'user', unitFolder: systemd.unitFolder, env: { ...process.env, ...systemd.environment } };
  });
  afterAll(async () => {
    await systemd?.close();
  });

  const units = (change: Record<string, string | undefined> = {}) => {
    const { folder } = systemd;
    // Not in the order in which they must begin.
    const made: Record<string, string | undefined> = {
      'soulfra-kit-api.service': unitText(folder, 'api', { after: ['schema'] }),
      'soulfra-kit-data.service': unitText(folder, 'data'),
      'soulfra-kit-other.service': unitText(folder, 'other'),
      'soulfra-kit-schema.service': unitText(folder, 'schema', { after: ['data'], run: 'true', once: true }),
      ...change,
    };
    return new Map(Object.entries(made).flatMap(([name, text]) => (text === undefined ? [] : [[name, text] as const])));
  };
  const apply = (wanted: ReadonlyMap<string, string>, said: string[] = []) =>
    applyUnits({ folder: systemd.folder, wanted, host, say: (text) => void said.push(text) });
  const begun = () => readFileSync(join(systemd.folder, 'begun'), 'utf8').trim().split('\n');
  const pidOf = (part: string) =>
    systemd.systemctl('show', '--property=MainPID', '--value', `soulfra-kit-${part}.service`);

  test('are begun in their order, each once what it needs is up, and a second time nothing changes', async () => {
    const said: string[] = [];
    const wanted = units();
    expect(await unitChanges(host, systemd.folder, wanted)).toHaveLength(4);
    expect(existsSync(join(systemd.unitFolder, 'soulfra-kit-data.service'))).toBe(false);
    expect((await apply(wanted, said)).map(({ action }) => action)).toEqual(['create', 'create', 'create', 'create']);
    expect(begun().filter((line) => !line.startsWith('other'))).toEqual([
      'data',
      'data is up',
      'schema',
      'api',
      'api is up',
    ]);
    expect(said.at(-1)).toMatch(/\(4 of 4\)$/);
    const pids = await Promise.all(['data', 'api', 'other'].map(pidOf));
    expect(await unitChanges(host, systemd.folder, wanted)).toEqual([]);
    expect(await apply(wanted)).toEqual([]);
    expect(await Promise.all(['data', 'api', 'other'].map(pidOf))).toEqual(pids);
  });

  test('one that changed begins anew with what needs it, and with nothing else', async () => {
    const before = await pidOf('other');
    rmSync(join(systemd.folder, 'begun'));
    const wanted = units({ 'soulfra-kit-data.service': unitText(systemd.folder, 'data', { run: 'exec sleep 601' }) });
    expect(await apply(wanted)).toEqual([{ unit: 'soulfra-kit-data.service', action: 'change' }]);
    expect(begun()).toEqual(['data', 'data is up', 'schema', 'api', 'api is up']);
    expect(await pidOf('other')).toBe(before);
    expect(await unitChanges(host, systemd.folder, wanted)).toEqual([]);
    await apply(units());
  });

  test('one that was stopped by hand, or is not begun with the host, is a change; one that left the kit goes', async () => {
    await systemd.systemctl('stop', 'soulfra-kit-api.service');
    await systemd.systemctl('disable', 'soulfra-kit-data.service');
    const wanted = units({ 'soulfra-kit-other.service': undefined });
    expect(await apply(wanted)).toEqual([
      { unit: 'soulfra-kit-api.service', action: 'start' },
      { unit: 'soulfra-kit-data.service', action: 'enable' },
      { unit: 'soulfra-kit-other.service', action: 'remove' },
    ]);
    expect(existsSync(join(systemd.unitFolder, 'soulfra-kit-other.service'))).toBe(false);
    expect(await systemd.systemctl('is-active', 'soulfra-kit-other.service')).toBe('inactive');
    expect(await unitChanges(host, systemd.folder, wanted)).toEqual([]);
  });

  test('what does not come up is named with why, and the rest stays as it is', async () => {
    const before = await pidOf('data');
    const broken = unitText(systemd.folder, 'api', { after: ['schema'], run: 'exit 7' });
    const failed = await apply(
      units({ 'soulfra-kit-api.service': broken, 'soulfra-kit-other.service': undefined }),
    ).catch((err: unknown) => err);
    expect(isDomainError(failed, 'UNAVAILABLE') && failed.message).toMatch(
      /^soulfra-kit-api\.service does not come up[\s\S]*7[\s\S]*apply again/,
    );
    expect(await pidOf('data')).toBe(before);
    expect(await apply(units({ 'soulfra-kit-other.service': undefined }))).toEqual([
      { unit: 'soulfra-kit-api.service', action: 'change' },
    ]);
  });

  test('a port that is taken, a disk without room and a card that is not there are named at once, and no unit is made', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const disk = join(systemd.folder, 'disk');
    const unmount = await mountSmall(disk, 16);
    try {
      const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
      fleet.machines = fleet.machines.slice(1);
      fleet.deploy.ports.postgres = port;
      fleet.machines[0]!.modelServer = { kind: 'ollama', url: 'http://127.0.0.1:11434', sequences: 1 };
      const site = deploySite(fleet);
      const wanted = new Map(['postgres', 'worker'].map((part) => [unitOf(part), unitText(disk, part)]));
      const asked = { folder: disk, wanted, host: { ...host, env: { ...host.env, PATH: '/usr/bin:/bin' } } };
      const refused = await refuseHostFaults(site, site.coordination, asked).catch((err: unknown) => err);
      const lines = isDomainError(refused, 'CONFLICT') ? refused.message.split('\n') : [];
      expect(lines).toEqual([
        'nothing was changed:',
        expect.stringMatching(new RegExp(`port ${port} at 127\\.0\\.0\\.1 is taken, postgres needs it.*ss -ltnp`)),
        ...(unmount === undefined
          ? []
          : [expect.stringMatching(/the disk of .* has 0\.0 GB left, 5\.0 GB are needed: make room/)]),
        expect.stringMatching(/1 GPU in fleet\.yaml, but nvidia-smi is not on this host: install its driver/),
      ]);
      expect([...wanted.keys()].filter((unit) => existsSync(join(systemd.unitFolder, unit)))).toEqual([]);
    } finally {
      server.close();
      await unmount?.();
    }
  });

  test('units of another folder are left alone', async () => {
    const file = join(systemd.unitFolder, 'soulfra-kit-stranger.service');
    writeFileSync(file, unitText('/srv/elsewhere', 'stranger'));
    const refused = await apply(units()).catch((err: unknown) => err);
    expect(isDomainError(refused, 'CONFLICT') && refused.message).toMatch(/is of the deployment in \/srv\/elsewhere/);
    rmSync(file);
  });
});
