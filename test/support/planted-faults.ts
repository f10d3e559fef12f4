import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import type { CheckState } from '../../domain/doctor.ts';
import { until } from './lab.ts';
import { type Box, boxMachine, boxModel, usualGpu } from './box.ts';

/** One thing made wrong on a sound box, and what `soulfra doctor` has to say of it. */
export interface PlantedFault {
  name: string;
  /** The check that names it. */
  check: string;
  machine?: string;
  state: CheckState;
  /** Of what it says is wrong, and of how that is mended. */
  detail: RegExp;
  mend: RegExp;
  /** What the command gets besides its usual environment. */
  env?: Record<string, string>;
  /** Whether this host can plant it. */
  possible?: () => boolean;
  plant(box: Box): Promise<void> | void;
  heal(box: Box): Promise<void> | void;
}

/** Every clock of the process stands 90 s ahead, as that of a host whose clock is wrong. */
const skewedClock = `const D = Date; globalThis.Date = class extends D { constructor(...a) { a.length ? super(...a) : super(D.now() + 90000); } static now() { return D.now() + 90000; } };`;

const keywordType = 2;
const attribute = 'GuildId';

async function changeAttributes(box: Box, there: boolean): Promise<void> {
  const connection = await Connection.connect({ address: box.addresses.temporalAddress });
  const { operatorService } = connection;
  const namespace = 'default';
  try {
    if (there) await operatorService.addSearchAttributes({ namespace, searchAttributes: { [attribute]: keywordType } });
    else await operatorService.removeSearchAttributes({ namespace, searchAttributes: [attribute] });
    await until('the server knows it', async () => {
      const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
      return (customAttributes?.[attribute] !== undefined) === there;
    });
  } finally {
    await connection.close();
  }
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

let stranger: ReturnType<typeof createServer> | undefined;
let newestMigration = '';
let portsFile = '';

export const plantedFaults: PlantedFault[] = [
  {
    name: 'a port of ours is taken by another program',
    check: 'ports',
    state: 'fail',
    detail: /^\d+ \(api\) is taken by \S+ \(\d+\), which is not ours/,
    mend: /kill \d+.*npm start/,
    async plant(box) {
      await box.endApi();
      stranger = createServer((_, response) => response.writeHead(404).end());
      await new Promise<void>((resolve) => stranger!.listen(box.apiPort, '127.0.0.1', resolve));
    },
    async heal(box) {
      stranger?.closeAllConnections();
      await new Promise((resolve) => stranger?.close(resolve));
      await box.startApi();
    },
  },
  {
    name: 'Postgres does not wait for its disk',
    check: 'postgres_settings',
    state: 'fail',
    detail: /fsync is off/,
    mend: /alter system set fsync = 'on'/,
    async plant(box) {
      await box.sql('alter system set fsync = off');
      await box.sql('select pg_reload_conf()');
      await until('it is off', async () => (await box.sql('show fsync'))[0]!['fsync'] === 'off');
    },
    async heal(box) {
      await box.sql('alter system reset fsync');
      await box.sql('select pg_reload_conf()');
      await until('it is on', async () => (await box.sql('show fsync'))[0]!['fsync'] === 'on');
    },
  },
  {
    name: 'a migration is missing',
    check: 'postgres_migrations',
    state: 'fail',
    detail: /^not applied: \d{6}_/,
    mend: /npm start/,
    async plant(box) {
      const rows = await box.sql(
        'delete from migrations where name = (select max(name) from migrations) returning name',
      );
      newestMigration = String(rows[0]!['name']);
    },
    async heal(box) {
      await box.sql(`insert into migrations (name, run_on) values ('${newestMigration}', now())`);
    },
  },
  {
    name: 'the database was written by a newer version',
    check: 'postgres_migrations',
    state: 'fail',
    detail: /does not know: 999999_tomorrow/,
    mend: /newer Soulfra/,
    plant: async (box) => {
      await box.sql("insert into migrations (name, run_on) values ('999999_tomorrow', now())");
    },
    heal: async (box) => {
      await box.sql("delete from migrations where name = '999999_tomorrow'");
    },
  },
  {
    name: 'Redis is down',
    check: 'redis',
    state: 'warn',
    detail: /does not answer.*counted per process/,
    mend: /npm start brings it up; if it runs, look into .*redis\.log/,
    plant: (box) => box.servers.kill('redis'),
    heal: (box) => box.servers.start('redis'),
  },
  {
    name: 'Redis refuses writes once it is full',
    check: 'redis_policy',
    state: 'warn',
    detail: /noeviction/,
    mend: /config set maxmemory-policy allkeys-lru/,
    plant: (box) => box.redis('config', 'set', 'maxmemory-policy', 'noeviction'),
    heal: (box) => box.redis('config', 'set', 'maxmemory-policy', 'allkeys-lru'),
  },
  {
    name: 'the namespace of Temporal is not there',
    check: 'temporal_namespace',
    state: 'fail',
    detail: /no namespace elsewhere; there is default/,
    mend: /namespace create .*elsewhere/,
    env: { TEMPORAL_NAMESPACE: 'elsewhere' },
    plant: () => undefined,
    heal: () => undefined,
  },
  {
    name: 'a search attribute is missing',
    check: 'temporal_attributes',
    state: 'fail',
    detail: /missing: GuildId/,
    mend: /search-attribute create -n default --name GuildId --type Keyword/,
    plant: (box) => changeAttributes(box, false),
    heal: (box) => changeAttributes(box, true),
  },
  {
    name: 'the model server lacks a model',
    check: 'models',
    machine: boxMachine,
    state: 'fail',
    detail: /no steady:12b/,
    mend: /ollama pull steady:12b/,
    plant: (box) => box.serveModels(['another:7b']),
    heal: (box) => box.serveModels([boxModel]),
  },
  {
    name: 'the model server is down',
    check: 'model_server',
    machine: boxMachine,
    state: 'fail',
    detail: /http:\/\/127\.0\.0\.1:\d+\/v1: /,
    mend: /Start ollama on box/,
    plant: (box) => box.modelServer().setFault({ kind: 'down' }),
    heal: (box) => box.modelServer().setFault(null),
  },
  {
    name: 'everybody may read a secret file',
    check: 'secrets',
    state: 'fail',
    detail: /secrets\.json has mode 0644/,
    mend: /^chmod 600 .*secrets\.json$/,
    plant: (box) => chmodSync(join(box.home, 'secrets.json'), 0o644),
    heal: (box) => chmodSync(join(box.home, 'secrets.json'), 0o600),
  },
  {
    name: 'a file of the data folder is cut short',
    check: 'home',
    state: 'fail',
    detail: /ports\.json: is not what npm start wrote/,
    mend: /^rm .*ports\.json; the next npm start takes ports anew/,
    plant(box) {
      portsFile = readFileSync(join(box.home, 'ports.json'), 'utf8');
      writeFileSync(join(box.home, 'ports.json'), portsFile.slice(0, 12));
    },
    heal: (box) => writeFileSync(join(box.home, 'ports.json'), portsFile),
  },
  {
    name: 'a folder stands where the passwords should be',
    check: 'home',
    state: 'fail',
    detail: /secrets\.json: EISDIR/,
    mend: /^Put .*secrets\.json back from a backup/,
    plant(box) {
      renameSync(join(box.home, 'secrets.json'), join(box.home, 'secrets.kept'));
      mkdirSync(join(box.home, 'secrets.json'), { mode: 0o700 });
    },
    heal(box) {
      rmdirSync(join(box.home, 'secrets.json'));
      renameSync(join(box.home, 'secrets.kept'), join(box.home, 'secrets.json'));
    },
  },
  {
    name: 'the disk of the logs is nearly full',
    check: 'disk',
    state: 'fail',
    detail: /logs: 0\.0 of 0\.1 GiB free/,
    mend: /Free space there \(du -xh/,
    possible: () => process.platform === 'linux' && process.getuid?.() === 0,
    plant(box) {
      run('mount', '-t', 'tmpfs', '-o', 'size=64m', 'none', join(box.home, 'logs'));
      writeFileSync(join(box.home, 'logs', 'filling'), Buffer.alloc(60 << 20));
    },
    // Lazily: whatever opened a log meanwhile holds it.
    heal: (box) => run('umount', '-l', join(box.home, 'logs')),
  },
  {
    name: 'other programs hold the memory that the plan counts on',
    check: 'vram',
    machine: boxMachine,
    state: 'warn',
    detail: /other programs hold 1\d\.\d GiB, the plan wants 1\d\.\d of 24 GiB/,
    mend: /reserveGiB of box|machines\[\]\.yield/,
    plant: (box) => box.setGpu({ ...usualGpu, usedMiB: 19_500 }),
    heal: (box) => box.setGpu(usualGpu),
  },
  {
    name: 'the card is smaller than fleet.yaml says',
    check: 'gpu',
    machine: boxMachine,
    state: 'fail',
    detail: /declared with 24 GiB, .* has 12\.0/,
    mend: /machines\[box\]\.gpus in fleet\.yaml/,
    plant: (box) => box.setGpu({ totalMiB: 12_288, usedMiB: 500 }),
    heal: (box) => box.setGpu(usualGpu),
  },
  {
    name: 'the driver of the card does not work',
    check: 'gpu',
    machine: boxMachine,
    state: 'fail',
    detail: /Driver\/library version mismatch/,
    mend: /Load the driver/,
    plant: (box) => box.setGpu('Failed to initialize NVML: Driver/library version mismatch'),
    heal: (box) => box.setGpu(usualGpu),
  },
  {
    name: 'the clock of the host is wrong',
    check: 'clock',
    state: 'fail',
    detail: /^(89|90|91) s ahead of the database's/,
    mend: /timedatectl set-ntp true/,
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(skewedClock)}` },
    plant: () => undefined,
    heal: () => undefined,
  },
  {
    name: 'fleet.yaml has an error',
    check: 'fleet_file',
    state: 'fail',
    detail: /^fleet\.yaml:\d+ archetypes\.0\.count must be a number/,
    mend: /\S/,
    plant: (box) => box.writeFleetFile(box.readFleetFile().replace('count: 2', 'count: many')),
    heal: (box) => box.writeFleetFile(box.readFleetFile().replace('count: many', 'count: 2')),
  },
  {
    name: 'the worker of a machine is gone',
    check: 'machine',
    machine: boxMachine,
    state: 'fail',
    detail: /no lease/,
    mend: /soulfra fleet start box/,
    plant: (box) => box.endWorker(),
    heal: (box) => box.startWorker(),
  },
];
