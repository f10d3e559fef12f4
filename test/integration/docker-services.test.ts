import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../../bench/support/fleet-bench.ts';
import { addTrusted } from '../../config/trust-file.ts';
import { serviceSchema } from '../../domain/services.ts';
import { createServiceRunStore, type ServiceRequest } from '../../stores/service-runs.ts';
import { docker, importShellImage, lacksDocker } from '../support/docker.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, type LabProcess, openLab, until } from '../support/lab.ts';

/** A real worker beside a real Docker: services are containers, named so that they meet none of this machine's. */
describe.skipIf(lacksDocker('services as compose projects of a real Docker'))('services in containers', () => {
  const id = `test-${randomBytes(6).toString('hex')}`;
  const image = `soulfra-${id}:1`;
  const command = [
    '/bin/busybox',
    'sh',
    '-c',
    'trap "exit 0" TERM; /bin/busybox httpd -p 8080 -h /tmp; echo "says $WORD \\$HOME"; while true; do /bin/busybox sleep 1; done',
  ];
  /** Compose names it by its version; its project does not change. */
  const ours = ['--all', '--filter', `label=com.docker.compose.project=soulfra-${id}`];
  const container = () => docker(['ps', '--quiet', ...ours]);
  /** Of this host alone. */
  let port: number;
  let scope: TestScope;
  let lab: Lab;
  let folder: string;
  let worker: LabProcess;

  beforeAll(async () => {
    importShellImage(image);
    [port] = (await freePorts(1)) as [number];
    scope = await createTestScope();
    folder = mkdtempSync(join(tmpdir(), 'soulfra-docker-'));
    lab = await openLab(scope, { logs: folder });
    await lab.apply(testFleet({ heavy: 0, light: 1 }));
    worker = startWorker();
    await lab.settled(['pc2']);
  });
  afterAll(async () => {
    await lab?.close();
    await scope?.close();
    for (const left of container().split('\n')) if (left !== '') docker(['rm', '--force', left]);
    docker(['image', 'rm', '--force', image]);
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  function startWorker(): LabProcess {
    const home = join(folder, 'home');
    return lab.startWorker('pc2', { SOULFRA_HOST_NAME: 'pc2', SOULFRA_HOME: home, WORD: 'hello' });
  }
  /** As an apply and a plan leave it, and as `soulfra services trust` does. */
  async function describeService(words: readonly string[]): Promise<void> {
    const spec = serviceSchema.parse({
      id,
      kind: 'container',
      machine: 'pc2',
      image,
      command: words,
      ports: [{ name: 'main', port, address: '127.0.0.1', containerPort: 8080 }],
      source: 'a.yaml:1',
    });
    addTrusted(join(folder, 'home/trust.yaml'), {
      id,
      image,
      command: [...words],
      folder,
      environment: ['WORD'],
      ports: [{ port, address: '127.0.0.1', containerPort: 8080 }],
      limits: { memoryMiB: 64, cpus: 0.5, tasks: 50 },
    });
    await sql`insert into services (id, owner_id, spec, machine_id)
      values (${id}, ${labOwner}, ${JSON.stringify(spec)}::jsonb, 'pc2')
      on conflict (id) do update set spec = excluded.spec, machine_id = excluded.machine_id`.execute(lab.db);
  }
  async function request(action: ServiceRequest['action']): Promise<void> {
    const { requestId } = await createServiceRunStore(lab.db).request({ ownerId: labOwner, action, serviceIds: [id] });
    await until(
      `${action} is done`,
      () =>
        lab.client.workflow
          .getHandle(`run-services:${requestId}`)
          .describe()
          .then(
            ({ status }) => status.name === 'COMPLETED',
            () => false,
          ),
      60_000,
    );
  }
  async function row() {
    const { rows } = await sql<{ state: string; run: string; reason: string; machineId: string | null }>`
      select s.state, r.state as run, r.reason, r.machine_id from services s join service_runs r on r.service_id = s.id`.execute(
      lab.db,
    );
    return rows[0]!;
  }
  const inspect = (format: string) => docker(['inspect', '--format', format, container()]);

  test('one is started, started again by Docker, found again by the next worker, and stopped', async () => {
    await describeService(command);
    await request('start');
    expect(await row()).toMatchObject({ run: 'started', machineId: 'pc2', reason: '' });
    expect(inspect('{{.State.Running}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}')).toBe(`true ${64 << 20} 50`);
    // Of the worker's variables it has the one that was agreed to, and no dollar of its words was read by compose.
    expect(docker(['logs', container()])).toBe('says hello $HOME');
    await until('its port answers', () =>
      fetch(`http://127.0.0.1:${port}/`).then(
        ({ status }) => status === 404,
        () => false,
      ),
    );
    expect(inspect('{{json .HostConfig.PortBindings}}')).toBe(
      JSON.stringify({ '8080/tcp': [{ HostIp: '127.0.0.1', HostPort: String(port) }] }),
    );
    const first = inspect('{{.State.Pid}}');
    process.kill(Number(first), 'SIGKILL');
    await until('Docker has started it again', async () => !['0', first].includes(inspect('{{.State.Pid}}')));
    await until('its row says so', async () => (await row()).run === 'started');

    const since = inspect('{{.State.StartedAt}}');
    await worker.end('SIGKILL');
    worker = startWorker();
    await until('the next worker has it', async () => {
      const { rows } = await sql<{ same: boolean }>`
        select r.epoch = m.epoch as same from service_runs r join machines m on m.id = r.machine_id`.execute(lab.db);
      return rows[0]?.same === true;
    });
    expect(inspect('{{.State.StartedAt}}')).toBe(since);

    await request('stop');
    expect(await row()).toMatchObject({ state: 'stopped', run: 'stopped', machineId: null });
    expect(container()).toBe('');
  });

  test('what ends at once, and what has no image, says why', async () => {
    await describeService(['/bin/busybox', 'sh', '-c', 'exit 3']);
    await request('start');
    const failed = await row();
    expect(failed).toMatchObject({ state: 'down', run: 'failed' });
    expect(failed.reason).toMatch(/\(3\)/);
    await describeService(['/bin/no-such-program']);
    await request('start');
    expect((await row()).reason).toMatch(/^compose does not start it: .*no-such-program/s);
    await request('stop');
  });
});
