import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { addTrusted } from '../../config/trust-file.ts';
import type { Service } from '../../domain/services.ts';
import { serviceSchema } from '../../domain/services.ts';
import { createServiceRunStore, type ServiceRequest } from '../../stores/service-runs.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, type LabProcess, openLab, until } from '../support/lab.ts';
import { lacksSystemd, startSystemdHost, type SystemdHost } from '../support/systemd.ts';

/** Real workers of two machines, each beside a real systemd of its own; services are real processes. */
describe.skipIf(lacksSystemd('services started, stopped and moved by real workers'))('services of the owner', () => {
  let scope: TestScope;
  let lab: Lab;
  let folder: string;
  const hosts: Record<string, SystemdHost> = {};
  const workers: Record<string, LabProcess> = {};

  beforeAll(async () => {
    scope = await createTestScope();
    folder = mkdtempSync(join(tmpdir(), 'soulfra-runs-'));
    lab = await openLab(scope, { logs: folder });
    await lab.apply(testFleet({ heavy: 0, light: 1 }));
    for (const machineId of ['mainpc', 'pc2']) {
      const host = (hosts[machineId] = await startSystemdHost());
      writeFileSync(join(host.folder, 'service.sh'), service);
      mkdirSync(join(host.folder, 'shims'));
      // Ends whoever runs it just before or after systemctl does what the file `end` names.
      writeFileSync(join(host.folder, 'shims/systemctl'), shim(host.folder), { mode: 0o755 });
      workers[machineId] = startWorker(machineId);
    }
    await lab.settled(['mainpc', 'pc2']);
  });
  afterAll(async () => {
    await lab?.close();
    for (const host of Object.values(hosts)) await host.close();
    await scope?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await request('stop', []);
    await sql`delete from service_runs`.execute(lab.db);
    await sql`delete from services`.execute(lab.db);
    for (const { folder: place } of Object.values(hosts)) {
      rmSync(join(place, 'said'), { force: true });
      rmSync(join(place, 'home/trust.yaml'), { force: true });
    }
  });

  function startWorker(machineId: string): LabProcess {
    const host = hosts[machineId]!;
    return lab.startWorker(machineId, {
      SOULFRA_HOST_NAME: machineId,
      ...host.environment,
      PATH: `${join(host.folder, 'shims')}:${process.env['PATH']}`,
    });
  }

  /** As an apply and a plan leave it. */
  async function describeServices(services: Array<Pick<Service, 'id'> & Partial<Service>>): Promise<void> {
    for (const service of services) {
      const spec = serviceSchema.parse({
        kind: 'process',
        machine: 'mainpc',
        command: ['/bin/sh', 'service.sh', service.id],
        source: 'startup.yaml:1',
        ...service,
      });
      await sql`insert into services (id, owner_id, spec, machine_id)
        values (${spec.id}, ${labOwner}, ${JSON.stringify(spec)}::jsonb, ${spec.machine})
        on conflict (id) do update set spec = excluded.spec, machine_id = excluded.machine_id`.execute(lab.db);
    }
  }

  /** As `soulfra services trust` does it there. */
  function trust(machineId: string, ids: readonly string[]): void {
    const { folder: place } = hosts[machineId]!;
    for (const id of ids)
      addTrusted(join(place, 'home/trust.yaml'), {
        id,
        command: ['/bin/sh', 'service.sh', id],
        folder: place,
        environment: [],
      });
  }

  /** The worker tells it with its lease; once it has, no plan comes of it any more. */
  const told = (machineId: string, id: string) =>
    until(`${machineId} has told that it trusts ${id}`, async () => {
      const { rows: found } = await sql<{ id: string }>`
        select machine_id as id from machine_reports where machine_id = ${machineId}
          and report -> 'trusts' @> ${JSON.stringify([{ service: id }])}::jsonb`.execute(lab.db);
      return found.length > 0;
    });

  /** Asks, and waits until its workflow is done. */
  async function request(action: ServiceRequest['action'], serviceIds: string[]): Promise<void> {
    const store = createServiceRunStore(lab.db);
    const { requestId, waves } = await store.request({ ownerId: labOwner, action, serviceIds });
    if (waves.length > 0) await settled(requestId);
  }
  const settled = (requestId: string) =>
    until(
      `${requestId} is done`,
      async () => {
        const handle = lab.client.workflow.getHandle(`run-services:${requestId}`);
        return handle.describe().then(
          ({ status }) => status.name === 'COMPLETED',
          () => false,
        );
      },
      60_000,
    );
  const said = (machineId: string): string[] => {
    const file = join(hosts[machineId]!.folder, 'said');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  };
  const events = (machineId: string) => said(machineId).map((line) => line.replace(/ \d+$/, ''));
  const living = (machineId: string, id: string) =>
    said(machineId).filter((line) => {
      const [, pid] = new RegExp(`^start ${id} (\\d+)$`).exec(line) ?? [];
      return pid !== undefined && existsSync(`/proc/${pid}`);
    }).length;
  const rows = async () => {
    const { rows: found } = await sql<{
      id: string;
      state: string;
      run: string;
      reason: string;
      machineId: string | null;
    }>`
      select s.id, s.state, r.state as run, r.reason, r.machine_id from services s join service_runs r on r.service_id = s.id
      order by s.id`.execute(lab.db);
    return Object.fromEntries(found.map(({ id, ...row }) => [id, row]));
  };

  test('starts what is needed first and stops the other way round', async () => {
    await describeServices([
      { id: 'web', dependsOn: ['api'] },
      { id: 'api', dependsOn: ['db', 'cache'] },
      { id: 'db' },
      { id: 'cache' },
      { id: 'alone' },
    ]);
    trust('mainpc', ['web', 'api', 'db', 'cache', 'alone']);
    await request('start', ['web']);
    expect(events('mainpc').slice(0, 2).toSorted()).toEqual(['start cache', 'start db']);
    expect(events('mainpc').slice(2)).toEqual(['start api', 'start web']);
    expect(await rows()).toMatchObject({ web: { run: 'started', machineId: 'mainpc' }, db: { run: 'started' } });
    await request('stop', ['db']);
    expect(events('mainpc').slice(4)).toEqual(['stop web', 'stop api', 'stop db']);
    expect(await rows()).toMatchObject({
      web: { state: 'stopped', run: 'stopped', machineId: null },
      cache: { run: 'started' },
    });
    expect(living('mainpc', 'cache')).toBe(1);
    await request('restart', ['cache']);
    expect(events('mainpc').slice(7)).toEqual(['stop cache', 'start cache']);
  });

  test('what goes down by itself, and comes up again, is told', async () => {
    await describeServices([{ id: 'quill' }]);
    trust('mainpc', ['quill']);
    await request('start', ['quill']);
    const state = async () => (await rows())['quill']?.state;
    await until('it is up', async () => (await state()) === 'up');
    const unit = 'soulfra-quill.service';
    await hosts['mainpc']!.systemctl('kill', '--signal=TERM', unit);
    await until('it is down', async () => (await state()) === 'down');
    expect((await rows())['quill']).toMatchObject({ run: 'failed', reason: 'it ended with code 0 (success)' });
    await hosts['mainpc']!.systemctl('start', unit);
    await until('it is up again', async () => (await state()) === 'up');
  });

  test('a command that the machine has not agreed to is not run, whoever asks', async () => {
    await lab.settled(['mainpc', 'pc2']);
    await describeServices([{ id: 'quill' }]);
    await request('start', ['quill']);
    expect(await rows()).toMatchObject({
      quill: {
        state: 'down',
        run: 'failed',
        machineId: null,
        reason: 'command not trusted on mainpc; there run `soulfra services trust quill`',
      },
    });
    // The plan hears of it, and puts it nowhere.
    const placedBecause = async () => {
      const { rows: found } = await sql<{ machineId: string | null; reason: string }>`
        select machine_id, reason from services where id = 'quill'`.execute(lab.db);
      return found[0]!;
    };
    const untrusted =
      'fleet.d names mainpc, and mainpc does not trust its command; there run `soulfra services trust quill`';
    await until('it stands nowhere', async () => (await placedBecause()).reason === untrusted);
    expect((await placedBecause()).machineId).toBeNull();
    await lab.settled(['mainpc', 'pc2']);
    const { folder: place } = hosts['mainpc']!;
    const file = join(place, 'home/trust.yaml');
    addTrusted(file, { id: 'other', command: ['/bin/sh', '-c', 'true'], folder: place, environment: [] });
    chmodSync(file, 0o620);
    await describeServices([{ id: 'quill' }]);
    await request('start', ['quill']);
    expect((await rows())['quill']?.reason).toContain('must not be writable by group or others (its mode is 620)');
    await until('it stands nowhere', async () => (await placedBecause()).reason === untrusted);
    chmodSync(file, 0o600);
    // Agreed to at last: it is placed, and started, without being asked for again.
    trust('mainpc', ['quill']);
    await until('it runs', async () => (await rows())['quill']?.run === 'started', 60_000);
    expect(living('mainpc', 'quill')).toBe(1);
    await request('stop', ['quill']);
    await lab.settled(['mainpc', 'pc2']);
    rmSync(join(place, 'said'));
    // A stolen token describes it anew.
    await describeServices([{ id: 'quill', command: ['/bin/sh', '-c', 'touch stolen'] }]);
    await request('start', ['quill']);
    expect((await rows())['quill']?.reason).toBe(
      'command not trusted on mainpc: it is another one than was agreed to; there run `soulfra services trust quill`',
    );
    expect(existsSync(join(hosts['mainpc']!.folder, 'stolen'))).toBe(false);
    expect(said('mainpc')).toEqual([]);
  });

  const plans = async () => {
    const { rows: found } = await sql<{
      most: number;
    }>`select coalesce(max(version), 0)::int as most from plans`.execute(lab.db);
    return found[0]!.most;
  };

  test('what nothing is named to run for fails as it is started, and no plan comes of it', async () => {
    await lab.settled(['mainpc', 'pc2']);
    await describeServices([{ id: 'bare', command: undefined }]);
    const before = await plans();
    await request('start', ['bare']);
    expect((await rows())['bare']).toMatchObject({
      state: 'down',
      run: 'failed',
      machineId: null,
      reason: 'fleet.d names neither a command nor an image for it: it is watched, and there is nothing to start',
    });
    expect(await plans()).toBe(before);
  });

  test('what its holder no longer trusts, and does not run any more, moves to a machine that trusts it', async () => {
    await lab.settled(['mainpc', 'pc2']);
    await describeServices([{ id: 'quill', machine: undefined }]);
    await sql`update services set machine_id = 'mainpc' where id = 'quill'`.execute(lab.db);
    trust('mainpc', ['quill']);
    await told('mainpc', 'quill');
    await request('start', ['quill']);
    expect((await rows())['quill']).toMatchObject({ run: 'started', machineId: 'mainpc' });
    trust('pc2', ['quill']);
    await told('pc2', 'quill');
    rmSync(join(hosts['mainpc']!.folder, 'home/trust.yaml'));
    // What runs is left as it is, whoever asks.
    await request('start', ['quill']);
    expect((await rows())['quill']?.reason).toContain('what was started there before runs on');
    expect((await rows())['quill']?.machineId).toBe('mainpc');
    expect(living('mainpc', 'quill')).toBe(1);
    await hosts['mainpc']!.systemctl('kill', '--signal=TERM', 'soulfra-quill.service');
    await until('it has ended', async () => living('mainpc', 'quill') === 0);
    await until('nothing starts it', async () => (await rows())['quill']?.reason === 'it ended with code 0 (success)');
    await request('start', ['quill']);
    await until(
      'it runs where it is trusted',
      async () => (await rows())['quill']?.machineId === 'pc2' && living('pc2', 'quill') === 1,
      60_000,
    );
    expect(living('mainpc', 'quill')).toBe(0);
  });

  test('what was agreed to inside of a container does not run on the host itself', async () => {
    const command = ['/bin/sh', 'service.sh', 'boxed'];
    const { folder: place } = hosts['mainpc']!;
    addTrusted(join(place, 'home/trust.yaml'), {
      id: 'boxed',
      image: 'boxed:1',
      command,
      folder: place,
      environment: [],
    });
    await told('mainpc', 'boxed');
    await describeServices([{ id: 'boxed', kind: 'process', image: 'boxed:1', command }]);
    await request('start', ['boxed']);
    expect((await rows())['boxed']).toMatchObject({
      run: 'failed',
      reason: 'it names an image, which only a container runs, and is a process',
    });
    expect(said('mainpc')).toEqual([]);
  });

  test('the end of an older start says nothing of a later request', async () => {
    await describeServices([{ id: 'quill' }]);
    trust('mainpc', ['quill']);
    await request('start', ['quill']);
    const store = createServiceRunStore(lab.db);
    const { rows: held } = await sql<{ requestId: string; epoch: number }>`
      select request_id, epoch from service_runs where service_id = 'quill'`.execute(lab.db);
    const { requestId, epoch } = held[0]!;
    const lease = { machineId: 'mainpc', epoch };
    await sql`update service_runs set state = 'starting'`.execute(lab.db);
    expect(await store.started({ serviceId: 'quill', requestId: 'older' }, lease)).toBe('superseded');
    expect((await rows())['quill']?.run).toBe('starting');
    expect(await store.started({ serviceId: 'quill', requestId }, lease)).toBe('started');
    expect(await store.started({ serviceId: 'quill', requestId }, { ...lease, epoch: epoch - 1 })).toBe('lost');
  });

  test('what no file names any more is stopped where it runs', async () => {
    await describeServices([{ id: 'quill' }]);
    trust('mainpc', ['quill']);
    await request('start', ['quill']);
    await sql`update services set retired_at = now()`.execute(lab.db);
    await request('stop', ['quill']);
    expect(living('mainpc', 'quill')).toBe(0);
    expect((await rows())['quill']).toMatchObject({ run: 'stopped', machineId: null });
  });

  test('what fails holds what needs it, unless it is not required', async () => {
    await describeServices([
      { id: 'broken', command: ['/bin/sh', '-c', 'exit 3'] },
      { id: 'spare', command: ['/bin/sh', '-c', 'exit 4'], required: false },
      { id: 'held', dependsOn: ['broken', 'spare'] },
      { id: 'free', dependsOn: ['spare'] },
    ]);
    trust('mainpc', ['held', 'free']);
    const { folder: place } = hosts['mainpc']!;
    for (const [id, code] of [
      ['broken', 3],
      ['spare', 4],
    ] as const)
      addTrusted(join(place, 'home/trust.yaml'), {
        id,
        command: ['/bin/sh', '-c', `exit ${code}`],
        folder: place,
        environment: [],
      });
    await told('mainpc', 'spare');
    await request('start', []);
    const found = await rows();
    expect(found['broken']?.reason).toContain('code 3');
    expect(found['held']).toMatchObject({ state: 'down', run: 'failed' });
    expect(found['held']?.reason).toContain('it needs broken, which is down: ');
    expect(found['free']?.run).toBe('started');
    expect(events('mainpc')).toEqual(['start free']);
  });

  test.each(['before start', 'after start', 'after daemon-reload', 'before stop'])(
    'a worker killed %s is made up for: the service runs once, and is stopped once',
    async (moment) => {
      await describeServices([{ id: 'quill' }]);
      trust('mainpc', ['quill']);
      const action = moment.endsWith('stop') ? 'stop' : 'start';
      if (action === 'stop') await request('start', ['quill']);
      writeFileSync(join(hosts['mainpc']!.folder, 'end'), moment);
      const { requestId } = await createServiceRunStore(lab.db).request({
        ownerId: labOwner,
        action,
        serviceIds: ['quill'],
      });
      await until('the worker is killed', async () => !workers['mainpc']!.alive);
      workers['mainpc'] = startWorker('mainpc');
      await settled(requestId);
      await until(
        'the rows say so',
        async () => (await rows())['quill']?.run === (action === 'start' ? 'started' : 'stopped'),
      );
      expect(living('mainpc', 'quill')).toBe(action === 'start' ? 1 : 0);
      expect(events('mainpc').filter((event) => event === 'start quill')).toHaveLength(1);
    },
  );

  test('a lost machine gives its service up to another; back again, it stops it before all else', async () => {
    await describeServices([{ id: 'quill' }, { id: 'alone' }]);
    trust('mainpc', ['quill', 'alone']);
    trust('pc2', ['quill']);
    await request('start', []);
    await workers['mainpc']!.end('SIGKILL');
    // What the plan does about it, once the machine is lost.
    await until('mainpc is lost', async () => (await machineState('mainpc')) === 'lost', 60_000);
    await until(
      'pc2 runs it',
      async () => (await rows())['quill']?.machineId === 'pc2' && living('pc2', 'quill') === 1,
      60_000,
    );
    await until('the other is told', async () => (await rows())['alone']?.run === 'failed');
    expect((await rows())['alone']).toMatchObject({ state: 'down' });
    expect((await rows())['alone']?.reason).toContain(
      'its machine mainpc is not in service; pc2 does not trust its command; there run `soulfra services trust alone`',
    );
    // Agreed to now, it starts there.
    trust('pc2', ['alone']);
    await until('pc2 runs both', async () => living('pc2', 'alone') === 1, 60_000);
    expect(living('pc2', 'quill')).toBe(1);
    // Its host lived on, only its worker was gone.
    const [, before] = /^start quill (\d+)$/m.exec(said('mainpc').join('\n'))!;
    expect(existsSync(`/proc/${before}`)).toBe(true);
    workers['mainpc'] = startWorker('mainpc');
    await until('mainpc has stopped it', async () => !existsSync(`/proc/${before}`), 60_000);
    // A plan may give it back: wherever it is, it is there once.
    await until(
      'it runs once, where its row says',
      async () => {
        const { machineId, run } = (await rows())['quill']!;
        const there = { mainpc: living('mainpc', 'quill'), pc2: living('pc2', 'quill') };
        return run === 'started' && there.mainpc + there.pc2 === 1 && there[machineId as 'mainpc' | 'pc2'] === 1;
      },
      60_000,
    );
  });

  async function machineState(machineId: string): Promise<string | undefined> {
    const row = await lab.db.selectFrom('machines').select('state').where('id', '=', machineId).executeTakeFirst();
    return row?.state;
  }
});

const service = `
echo "start $1 $$" >> said
trap 'echo "stop $1 $$" >> said; exit 0' TERM
while true; do sleep 1000 & wait $!; done
`;

function shim(folder: string): string {
  return `#!/bin/sh
end=$(cat '${folder}/end' 2> /dev/null)
for word in "$@"; do
  if [ "$end" = "before $word" ]; then rm '${folder}/end'; kill -9 $PPID; exit 1; fi
done
/usr/bin/systemctl "$@"
code=$?
for word in "$@"; do
  if [ "$end" = "after $word" ]; then rm '${folder}/end'; kill -9 $PPID; exit 1; fi
done
exit $code
`;
}
