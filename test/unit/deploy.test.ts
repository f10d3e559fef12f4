import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { composeReports } from '../../config/imports/compose-schema.ts';
import { readYaml } from '../../config/imports/located-yaml.ts';
import { loadFleetFile, parseFleet } from '../../config/fleet-file.ts';
import { madeLine, postgresStartScript } from '../../deploy/compose/cluster-files.ts';
import { containerChanges, type Found, isUp, wantedOf } from '../../deploy/compose/containers.ts';
import { environmentText, fileChanges, fittedCpus, handsMountsOn, writeFolder } from '../../deploy/compose/folder.ts';
import { mendsFor } from '../../deploy/compose/start-faults.ts';
import { gpuFaults, portClashes, portsTaken, secondFaults } from '../../deploy/compose/host-checks.ts';
import { programMends, type Programs } from '../../deploy/compose/host-parts.ts';
import { composeKit, hostKit, portRows, projectOf, readShipped } from '../../deploy/compose/kit.ts';
import { unitFiles } from '../../deploy/compose/units.ts';
import { containerPlaces } from '../../deploy/compose/places.ts';
import { referenceRows } from '../../deploy/compose/port-table.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { deploySettingsSchema } from '../../domain/deploy-settings.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { wayToGoOn } from '../../domain/fleet-move.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { isDomainError } from '../../domain/errors.ts';
import { onPath } from '../../deploy/embedded/resolve.ts';
import { lacks } from '../support/not-run.ts';
import { onwardAddress } from '../../ui/sign-in/onward.ts';

const shipped = readShipped(join(repositoryRoot, 'deploy'));
const reference = loadFleetFile(join(repositoryRoot, 'fleet.yaml'));

/** The reference pair, and as many more machines as asked. */
function fleetOf(machines: number, change: (fleet: Fleet) => void = () => {}): Fleet {
  const fleet = structuredClone(reference);
  const [mainpc, pc2] = fleet.machines;
  fleet.machines = [
    pc2!,
    mainpc!,
    ...Array.from({ length: machines }, (_, i) => ({ ...structuredClone(mainpc!), id: `extra-${i + 1}` })),
  ].slice(0, machines);
  if (machines > 1)
    fleet.deploy.addresses = Object.fromEntries(fleet.machines.map(({ id }, i) => [id, `10.97.0.${i + 1}`]));
  for (const { modelServer } of fleet.machines) if (modelServer) modelServer.url = 'http://127.0.0.1:11434/v1';
  change(fleet);
  return fleet;
}

const withStandby = (fleet: Fleet) => void (fleet.deploy.standby = 'mainpc');
const sites = [
  ['one machine', deploySite(fleetOf(1))],
  ['two machines', deploySite(fleetOf(2))],
  ['two machines, a standby', deploySite(fleetOf(2, withStandby))],
  ['four machines, a standby', deploySite(fleetOf(4, withStandby))],
] as const;

type Mount =
  | string
  | { type: string; source: string; target: string; read_only?: boolean; volume?: { nocopy?: boolean } };
const sourceOf = (mount: Mount) => (typeof mount === 'string' ? mount.split(':')[0]! : mount.source);

interface Service {
  image: string;
  environment?: Record<string, string>;
  networks?: object;
  cap_add?: string[];
  volumes?: Mount[];
  ports?: { host_ip: string; published: string }[];
  restart: string;
  read_only: boolean;
  user: string;
  cap_drop: string[];
  security_opt: string[];
  logging: { options: Record<string, string> };
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: object;
  profiles?: string[];
  deploy: { resources: { limits: { memory: string; cpus: string } } };
}
const servicesOf = (text: string) => (parse(text) as { services: Record<string, Service> }).services;
const composeNames = (kit: ReadonlyMap<string, string>) =>
  [...kit.keys()].filter((name) => /^(promoted\/)?[^/]+\.yaml$/.test(name));

test('payloads are encoded where the file says so, by keys that every part has that reads them', () => {
  const partsOf = (payloadCodec: boolean) => {
    const site = deploySite(fleetOf(2, (fleet) => void (fleet.deploy.payloadCodec = payloadCodec)));
    const kit = composeKit(site, shipped);
    const services = composeNames(kit).flatMap((name) => Object.entries(servicesOf(kit.get(name)!)));
    return services.map(([service, { environment = {} }]) => ({ service, environment }));
  };
  for (const isOn of [false, true]) {
    const parts = partsOf(isOn);
    const readers = parts.filter(({ service }) => ['api', 'worker', 'backup'].includes(service));
    expect(readers).toHaveLength(4);
    for (const { environment } of readers)
      expect([environment['SOULFRA_PAYLOAD_KEYS_FILE'], environment['SOULFRA_PAYLOAD_CODEC']]).toEqual([
        '/run/secrets/payload_keys',
        isOn ? 'on' : undefined,
      ]);
    const { environment: ui } = parts.find(({ service }) => service === 'temporal-ui')!;
    if (isOn) expect(ui['TEMPORAL_CODEC_ENDPOINT']).toBe(`${ui['TEMPORAL_CORS_ORIGINS']}/v1/codec`);
    else expect(ui['TEMPORAL_CODEC_ENDPOINT']).toBeUndefined();
  }
});

test('who is not signed in is led to the sign-in page from Temporal’s UI and Grafana, and no answer is left open', () => {
  const proxy = composeKit(deploySite(fleetOf(2)), shipped).get('config/Caddyfile')!;
  const handlers = [...proxy.matchAll(/handle_response @nobody \{\n([\s\S]*?)\n +\}/g)].map(([, inside]) => inside!);
  expect(handlers).toHaveLength(2);
  // Without an answer that holds for all, the proxy would go on to what it guards.
  for (const inside of handlers) expect(inside.trim().split('\n').at(-1)!.trim()).toBe('respond "sign in first" 401');
  for (const path of ['/temporal/namespaces/default?query=a%26b&page=2', '/temporal', '/grafana/d/fleet?a=b&then=c'])
    expect(onwardAddress(`?then=${path}`)).toBe(path);
  for (const path of ['//evil.example', 'https://evil.example', '/temporalx', '/v1/me', ''])
    expect(onwardAddress(`?then=${path}`), path).toBeUndefined();
  expect(onwardAddress('')).toBeUndefined();
});

test('the API believes the proxy’s own address about callers and TLS, which no other container can have', () => {
  const site = deploySite(
    fleetOf(2, (fleet) => {
      fleet.deploy.subnet = '10.20.30.0/24';
      withStandby(fleet);
    }),
  );
  const kit = composeKit(site, shipped);
  for (const name of ['coordination.yaml', 'promoted/standby.yaml']) {
    const { api, proxy } = servicesOf(kit.get(name)!);
    expect(proxy!.networks, name).toEqual({ proxied: { ipv4_address: '10.20.30.250' } });
    expect(api!.environment!['SOULFRA_TRUST_PROXY'], name).toBe('10.20.30.250');
    const { networks } = parse(kit.get(name)!) as { networks: object };
    expect(networks, name).toEqual({
      proxied: { ipam: { config: [{ subnet: '10.20.30.0/24', ip_range: '10.20.30.0/25' }] } },
    });
  }
  // On the host of the standby two files run beside each other.
  expect((parse(kit.get('inference-mainpc.yaml')!) as { networks: object }).networks).toEqual({ inner: {} });
  for (const subnet of ['8.8.8.0/24', '10.0.0.0/8', '172.40.0.0/24', '10.1.0/24', '192.168.300.0/24', '10.1.2.3/24'])
    expect(deploySettingsSchema.safeParse({ subnet }).success, subnet).toBe(false);
  for (const subnet of ['10.1.2.0/24', '172.31.0.0/24', '192.168.7.0/24'])
    expect(deploySettingsSchema.safeParse({ subnet }).success, subnet).toBe(true);
});

describe.each(sites)('%s', (_name, site) => {
  const kit = composeKit(site, shipped);

  test('every compose file is one by the schema of the Compose Specification', () => {
    const documentsOf = (text: string) => {
      const read = readYaml(text);
      if ('reason' in read) throw new Error(read.reason);
      return read.documents;
    };
    const files = composeNames(kit).map((name) => ({
      name,
      text: kit.get(name)!,
      documents: documentsOf(kit.get(name)!),
    }));
    // With a standby: its copy, and what runs on it and on each other machine once it has taken over.
    expect(files).toHaveLength(site.fleet.machines.length + (site.standby ? 1 + site.fleet.machines.length : 0));
    expect(composeReports(files).flatMap(({ findings }) => findings)).toEqual([]);
    const broken = kit.get('coordination.yaml')!.replace('cap_drop:', 'cap_dropped:');
    expect(
      composeReports([{ name: 'compose.yaml', text: broken, documents: documentsOf(broken) }])[0]!.findings,
    ).not.toEqual([]);
  });

  test('every part is bounded, unprivileged, pinned, and waits only for parts that are there', () => {
    for (const name of composeNames(kit)) {
      const services = servicesOf(kit.get(name)!);
      for (const [service, made] of Object.entries(services)) {
        const at = `${name} ${service}`;
        expect(made.deploy.resources.limits, at).toMatchObject({
          memory: expect.any(String),
          cpus: expect.any(String),
        });
        expect([made.read_only, made.cap_drop, made.security_opt], at).toEqual([
          true,
          ['ALL'],
          ['no-new-privileges:true'],
        ]);
        // More than a host has, and Docker starts nothing.
        expect(['${SOULFRA_CPUS:-2}', '2', '1', '0.5'], at).toContain(made.deploy.resources.limits.cpus);
        expect(made.logging.options, at).toEqual({ 'max-size': '10m', 'max-file': '5' });
        expect(made.restart, at).toMatch(/^(unless-stopped|on-failure:10)$/);
        expect(made.image, at).toMatch(/^\$\{SOULFRA_((?:BACKUP_)?IMAGE:\?.*\}|REGISTRY:-\}[a-z0-9/_-]+:v?\d[\w.-]*)$/);
        // What an image has at that place, and whose it is there, would become the volume's.
        for (const volume of made.volumes ?? [])
          if (/^[a-z]+$/.test(sourceOf(volume))) expect(volume, at).toMatchObject({ volume: { nocopy: true } });
        for (const [other, { condition }] of Object.entries(made.depends_on ?? {})) {
          expect(Object.keys(services), `${at} waits for ${other}`).toContain(other);
          if (condition === 'service_healthy')
            expect(services[other]!.healthcheck, `${at} waits for ${other}`).toBeDefined();
          // Who is always on must not wait for what a profile may leave out.
          expect(services[other]!.profiles ?? made.profiles, `${at} waits for ${other}`).toEqual(made.profiles);
        }
      }
    }
  });

  test('every file that is mounted is of the kit, or made once', () => {
    for (const name of composeNames(kit)) {
      const mounted = Object.values(servicesOf(kit.get(name)!)).flatMap(({ volumes = [] }) => volumes.map(sourceOf));
      for (const source of mounted.filter((each) => each.startsWith('./config/'))) {
        const path = source.slice(2);
        expect(
          [...kit.keys()].some((file) => file === path || file.startsWith(`${path}/`)),
          source,
        ).toBe(true);
      }
    }
  });

  test('each open port has an address of its machine and a reason; inference machines open nothing to others', () => {
    const rows = portRows(site);
    for (const { machineId, address, reason, file } of rows) {
      expect(['127.0.0.1', site.addresses[machineId]]).toContain(address);
      expect(reason).not.toBe('');
      if (file.startsWith('inference-')) expect(address).toBe('127.0.0.1');
    }
    expect(portClashes(rows)).toEqual([]);
  });

  test('no key of another machine goes to a machine', () => {
    for (const { id } of site.fleet.machines.filter((machine) => machine.id !== site.coordination.id)) {
      const files = kit.get(`machines/${id}.files`)!.trim().split('\n');
      const keys = files.filter((file) => file.startsWith('tls/') && file.endsWith('.key'));
      expect(keys).toContain(`tls/${id}.key`);
      if (id !== site.standby?.id) expect(keys).toEqual([`tls/${id}.key`]);
      expect(files.filter((file) => file.startsWith('authority'))).toEqual([]);
    }
  });

  test('no secret stands in a file of the kit', () => {
    for (const [name, text] of kit) expect(text, name).not.toMatch(/PRIVATE KEY|postgres:\/\/\w+:[^@$\s]+@/);
  });
});

test('a host with fewer CPUs than `.env` allows lowers that line, and one that was brought is made for this host', () => {
  const text = environmentText(undefined, 'soulfra:1', { machine: 'pc2' });
  const own = text.replace(/^SOULFRA_CPUS=.*$/m, 'SOULFRA_CPUS=4');
  const at = (cpus: number, of = 'pc2') =>
    own.replace('SOULFRA_CPUS=4', `SOULFRA_CPUS=${cpus}`).replace('SOULFRA_CPUS_OF=pc2', `SOULFRA_CPUS_OF=${of}`);
  expect([fittedCpus(own, 4, 'pc2'), fittedCpus(own, 16, 'pc2')]).toEqual([own, own]);
  expect(fittedCpus(own, 2, 'pc2')).toBe(at(2));
  // Neither refused by a smaller host nor throttled on a larger one by what the coordinating machine has.
  expect(fittedCpus(own, 2, 'mainpc')).toBe(at(2, 'mainpc'));
  expect(fittedCpus(own, 6, 'mainpc')).toBe(at(6, 'mainpc'));
  expect(fittedCpus(own, 64, 'mainpc')).toBe(at(8, 'mainpc'));
  expect(fittedCpus(at(6, 'mainpc'), 16, 'mainpc')).toBe(at(6, 'mainpc'));
  // Of a version that did not say whose it is.
  expect(fittedCpus('SOULFRA_CPUS=4\n', 8, 'mainpc')).toBe('SOULFRA_CPUS=4\n');
  expect(fittedCpus('SOULFRA_UID=1\n', 2, 'pc2')).toBe('SOULFRA_UID=1\nSOULFRA_CPUS=2\nSOULFRA_CPUS_OF=pc2\n');
  expect(environmentText(own, 'soulfra:2', { machine: 'pc2' })).toContain('\nSOULFRA_CPUS=4\n');
});

test('a container sees disks that are mounted later where the host hands its mounts on, and is not promised it elsewhere', () => {
  const mounts = [
    '27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '40 27 8:2 / /mnt/own rw,relatime - ext4 /dev/sdb1 rw',
    '41 27 8:3 / /mnt/of\\040two rw,relatime master:4 - ext4 /dev/sdc1 rw',
    '42 40 8:4 / /mnt/own rw,relatime shared:7 - ext4 /dev/sdd1 rw',
  ];
  const hands = (folder: string, lines = mounts) => handsMountsOn(folder, lines.join('\n'));
  expect([hands('/mnt/second'), hands('/mnt/ownership/second'), hands('/mnt/of two/second')]).toEqual([
    true,
    true,
    true,
  ]);
  expect(hands('/mnt/own/second')).toBe(true);
  expect(hands('/mnt/own/second', mounts.slice(0, 3))).toBe(false);
  expect(hands('/mnt/second', [])).toBe(false);
  const of = composeKit(deploySite(fleetOf(2, (fleet) => void (fleet.backup.to = '/mnt/second'))), shipped);
  const { backup } = servicesOf(of.get('coordination.yaml')!);
  expect(backup!.volumes).toContainEqual({
    type: 'bind',
    source: '/mnt/second',
    target: '/var/lib/second',
    bind: { create_host_path: false, propagation: '${SOULFRA_MOUNTS:-rprivate}' },
  });
  expect(environmentText('SOULFRA_MOUNTS=rslave\n', 'soulfra:2')).toContain('\nSOULFRA_MOUNTS=rslave\n');
});

test('what was killed while the data were made is made anew; what is whole, or was restored, stays', () => {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-making-'));
  try {
    const usual = containerPlaces();
    const places = { ...usual, postgres: { ...usual.postgres, data: folder } };
    const script = join(folder, 'start.sh');
    writeFileSync(script, postgresStartScript(places));
    const there = (name: string) => existsSync(join(folder, name));
    // In place of the entry point of the image.
    const start = (words: string) => spawnSync('sh', [script, 'sh', '-c', `cd ${folder}; ${words}`]);
    start('mkdir data && echo 15 > data/PG_VERSION; kill -9 $$');
    expect([there('data/PG_VERSION'), there('making')]).toEqual([true, true]);
    const [, made] = /^\\! (.*)\n$/.exec(madeLine(places))!;
    expect(start(`mkdir data && echo 15 > data/PG_VERSION && ${made} && touch data/whole`).status).toBe(0);
    expect(start('true').status).toBe(0);
    expect([there('data/whole'), there('making')]).toEqual([true, false]);
    rmSync(join(folder, 'data'), { recursive: true });
    start('mkdir data && echo 15 > data/PG_VERSION; kill -9 $$');
    start('true');
    spawnSync('sh', ['-c', 'mkdir restored && echo 15 > restored/PG_VERSION'], { cwd: folder });
    expect(start('true').status).toBe(0);
    expect([there('data/PG_VERSION'), there('making')]).toEqual([true, false]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('what the images of others are known to want of whoever starts them, they have', () => {
  const kit = composeKit(deploySite(fleetOf(2)), shipped);
  const services = servicesOf(kit.get('coordination.yaml')!);
  // Caddy has it by its file, and cannot be started in a container that may not.
  expect(services['proxy']!.cap_add).toEqual(['NET_BIND_SERVICE']);
  // Temporal ends where nothing says who it runs as.
  expect(services['temporal']!.environment).toMatchObject({ USER: 'soulfra', HOME: '/tmp' });
  // The image keeps there what it is configured by.
  expect(JSON.stringify(services['temporal-ui'])).not.toContain('/home/ui-server');
  // A browser that dials an address names no server.
  expect(kit.get('config/Caddyfile')).toMatch(/^ {2}default_sni proxy\.soulfra$/m);
});

test('what fleet.yaml lacks is named, all at once', () => {
  const bare = fleetOf(2, (fleet) => void (fleet.deploy.addresses = {}));
  expect(() => deploySite(bare)).toThrow(
    /deploy\.addresses\.pc2 is missing[\s\S]*deploy\.addresses\.mainpc is missing/,
  );
  const same = fleetOf(2, (fleet) => {
    fleet.deploy.addresses['mainpc'] = fleet.deploy.addresses['pc2']!;
    fleet.deploy.ports.redis = fleet.deploy.ports.postgres;
  });
  expect(() => deploySite(same)).toThrow(/addresses\.mainpc must differ[\s\S]*ports\.redis must differ/);
  const source = readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8');
  const wrong = parseFleet(
    `${source}\ndeploy: { standby: pc2, addresses: { mainpcc: 10.0.0.1, pc2: host.example } }\n`,
  );
  const told = 'errors' in wrong ? wrong.errors.map(({ path, mend }) => `${path} ${mend}`) : [];
  expect(told).toEqual([
    expect.stringMatching(/^deploy\.standby Name another machine/),
    expect.stringMatching(/^deploy\.addresses\.mainpcc Did you mean `mainpc`/),
    expect.stringMatching(/^deploy\.addresses\.pc2 /),
  ]);
});

describe('the folder', () => {
  let parent: string;
  beforeEach(() => void (parent = mkdtempSync(join(tmpdir(), 'soulfra-kit-'))));
  afterEach(() => rmSync(parent, { recursive: true, force: true }));
  const own = new Map([['own/alertmanager.yaml', 'route: {}\n']]);
  const write = (fleet: Fleet, folder = join(parent, 'kit')) => {
    const site = deploySite(fleet);
    return writeFolder(folder, site, composeKit(site, shipped), own, 'soulfra:1');
  };
  const hashes = (folder: string) =>
    Object.fromEntries(
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .toSorted()
        .map((file) => [file.slice(folder.length), createHash('sha256').update(readFileSync(file)).digest('hex')]),
    );

  test('is whole after the first run, and the same after the second', async () => {
    const folder = join(parent, 'kit');
    const first = await write(fleetOf(2, withStandby));
    expect(first.changes.every(({ action }) => action === 'create')).toBe(true);
    const secret = (name: string) => statSync(join(folder, name)).mode & 0o777;
    for (const name of readdirSync(join(folder, 'secrets'))) expect(secret(`secrets/${name}`)).toBe(0o600);
    for (const name of readdirSync(join(folder, 'tls')))
      expect(secret(`tls/${name}`)).toBe(name.endsWith('.key') ? 0o600 : 0o644);
    expect(secret('authority')).toBe(0o700);
    const before = hashes(folder);
    // The very files: a process that watches its certificate takes another file for a renewal, and ends.
    const inodes = () => Object.keys(hashes(folder)).map((path) => [path, statSync(join(folder, path)).ino]);
    const files = inodes().filter(([path]) => path !== '/.kit.json');
    const second = await write(fleetOf(2, withStandby));
    expect(second).toEqual({ changes: [], made: [] });
    expect(hashes(folder)).toEqual(before);
    expect(inodes().filter(([path]) => path !== '/.kit.json')).toEqual(files);
    expect(readdirSync(parent)).toEqual(['kit']);
    // Servers by their names, clients as nothing but clients: by another program than ours.
    const verified = (purpose: string, name: string, ...more: string[]) =>
      execFileSync(
        'openssl',
        [
          'verify',
          '-purpose',
          purpose,
          ...more,
          '-CAfile',
          join(folder, 'tls/ca.crt'),
          join(folder, `tls/${name}.crt`),
        ],
        { encoding: 'utf8', stdio: 'pipe' },
      );
    for (const name of ['postgres', 'redis', 'temporal'])
      expect(verified('sslserver', name, '-verify_hostname', `${name}.soulfra`)).toContain('OK');
    expect(verified('sslclient', 'mainpc')).toContain('OK');
    expect(() => verified('sslserver', 'mainpc')).toThrow();
  });

  test('follows fleet.yaml, tells what was changed by hand, and leaves what is its owner’s', async () => {
    const folder = join(parent, 'kit');
    await write(fleetOf(3));
    const before = hashes(folder);
    writeFileSync(join(folder, 'own/alertmanager.yaml'), 'mine\n');
    writeFileSync(join(folder, 'config/redis.conf'), 'port 1\n');
    writeFileSync(join(folder, '.env'), 'COMPOSE_PROFILES=\nMINE=1\n');
    const site = deploySite(fleetOf(2));
    const changes = fileChanges(folder, composeKit(site, shipped));
    expect(changes).toEqual(
      expect.arrayContaining([
        { path: 'config/redis.conf', action: 'change', byHand: true },
        { path: 'inference-extra-1.yaml', action: 'remove' },
        { path: 'config/fleet.yaml', action: 'change' },
      ]),
    );
    await write(fleetOf(2));
    const after = hashes(folder);
    expect(existsSync(join(folder, 'inference-extra-1.yaml'))).toBe(false);
    expect(readFileSync(join(folder, 'own/alertmanager.yaml'), 'utf8')).toBe('mine\n');
    expect(readFileSync(join(folder, '.env'), 'utf8')).toMatch(
      /^SOULFRA_IMAGE=soulfra:1$[\s\S]*^COMPOSE_PROFILES=$[\s\S]*^MINE=1$/m,
    );
    for (const path of Object.keys(before).filter((name) => /^\/(secrets|authority|tls)\//.test(name)))
      expect(after[path], path).toBe(before[path]);
  });

  test('refuses a secret that somebody has emptied, and changes nothing', async () => {
    const folder = join(parent, 'kit');
    await write(fleetOf(2));
    writeFileSync(join(folder, 'secrets/secret_key'), '');
    const before = hashes(folder);
    await expect(write(fleetOf(3))).rejects.toThrow(/secrets\/secret_key holds no secret of this kit/);
    expect(hashes(folder)).toEqual(before);
    expect(readdirSync(parent)).toEqual(['kit']);
  });

  test('keeps what was there when it cannot be written whole', async () => {
    const folder = join(parent, 'kit');
    await write(fleetOf(2));
    const before = hashes(folder);
    const site = deploySite(fleetOf(3));
    // A name longer than any file may have: the write fails after half of the files.
    const kit = new Map([...composeKit(site, shipped), [`config/${'x'.repeat(300)}`, '']]);
    await expect(writeFolder(folder, site, kit, own, 'soulfra:2')).rejects.toThrow(/ENAMETOOLONG/);
    expect(hashes(folder)).toEqual(before);
    expect(readdirSync(parent)).toEqual(['kit']);
  });
});

test('an environment keeps what its owner wrote', () => {
  const text = environmentText('SOULFRA_UID=7\nX=1\n', 'soulfra:2');
  expect(environmentText(text, 'soulfra:2')).toBe(text);
  expect(text).toMatch(/^SOULFRA_UID=7$/m);
});

describe('what is to be done with containers', () => {
  const text = composeKit(deploySite(fleetOf(2)), shipped).get('coordination.yaml')!;
  const wanted = wantedOf('coordination.yaml', text, ['']);
  const running = (): Found[] =>
    wanted.map(({ file, service, hash, once }) => ({
      file,
      service,
      hash,
      state: once ? 'exited' : 'running',
      health: 'healthy',
      exitCode: 0,
      ports: [],
    }));

  test('nothing where all is as it should be; profiles decide what is wanted', () => {
    expect(containerChanges(wanted, running())).toEqual([]);
    expect(wanted.map(({ service }) => service)).not.toContain('grafana');
    expect(wantedOf('coordination.yaml', text, ['observability']).map(({ service }) => service)).toContain('grafana');
  });

  test('a changed file, a stopped part, a job that failed and a part that is left over are named', () => {
    const found = running();
    found.find(({ service }) => service === 'redis')!.hash = 'another';
    found.find(({ service }) => service === 'api')!.state = 'exited';
    found.find(({ service }) => service === 'temporal-schema')!.exitCode = 1;
    found.splice(
      found.findIndex(({ service }) => service === 'proxy'),
      1,
      { ...found[0]!, service: 'old' },
    );
    expect(
      containerChanges(wanted, found)
        .map(({ service, action }) => `${service} ${action}`)
        .toSorted(),
    ).toEqual(['api start', 'old remove', 'proxy create', 'redis recreate', 'temporal-schema start']);
  });

  test('a part is up once it says so itself', () => {
    const redis = wanted.find(({ service }) => service === 'redis')!;
    const found = running();
    expect(isUp(redis, found)).toBe(true);
    found.find(({ service }) => service === 'redis')!.health = 'starting';
    expect(isUp(redis, found)).toBe(false);
  });

  test('a mounted file that changes is a change of its part, and of no other', () => {
    const site = deploySite(fleetOf(2));
    const other = composeKit(site, { ...shipped, rules: new Map([['new.yaml', 'groups: []\n']]) });
    const profiles = ['observability'];
    const found = wantedOf('coordination.yaml', text, profiles).map((want) => ({
      ...want,
      state: want.once ? 'exited' : 'running',
      health: 'healthy',
      exitCode: 0,
      ports: [],
    }));
    const changed = containerChanges(wantedOf('coordination.yaml', other.get('coordination.yaml')!, profiles), found);
    expect(changed).toEqual([{ file: 'coordination.yaml', service: 'prometheus', action: 'recreate' }]);
  });
});

describe('the host', () => {
  test('a port that is taken and an address that is not ours are named with what mends them', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const row = { ...referenceRows()[0]!, port, address: '127.0.0.1' };
    try {
      expect(await portsTaken([row], new Set())).toEqual([
        expect.stringMatching(new RegExp(`^port ${port} at 127\\.0\\.0\\.1 is taken, postgres needs it .*ss -ltnp`)),
      ]);
      expect(await portsTaken([row], new Set([port]))).toEqual([]);
    } finally {
      server.close();
    }
    // 192.0.2.0/24 belongs to documents.
    expect(await portsTaken([{ ...row, port: 17_999, address: '192.0.2.1' }], new Set())).toEqual([
      expect.stringMatching(/^192\.0\.2\.1 is no address of this host.*deploy\.addresses\.pc2/),
    ]);
  });

  test('two parts of one host that want one port are named', () => {
    const fleet = fleetOf(2, ({ deploy, metrics }) => void (deploy.ports.redis = metrics.port + 1));
    fleet.deploy.addresses['pc2'] = '127.0.0.1';
    expect(portClashes(portRows(deploySite(fleet)))).toEqual([
      expect.stringMatching(/^pc2: worker .* and redis .* both want port 18001/),
    ]);
  });

  test('a promoted standby in containers looks for no second copy, whose folder it may not have', () => {
    const fleet = fleetOf(2, (each) => {
      each.backup.to = '/mnt/second';
      withStandby(each);
    });
    const kit = composeKit(deploySite(fleet), shipped);
    const secondOf = (file: string) => {
      const { backup } = servicesOf(kit.get(file)!);
      const name = backup!.environment!['SOULFRA_CLUSTER_FILE']!.split('/').at(-1)!;
      return (JSON.parse(kit.get(`config/${name}`)!) as { second: string | null }).second;
    };
    expect([secondOf('coordination.yaml'), secondOf('promoted/standby.yaml')]).toEqual(['/var/lib/second', null]);
  });

  test('a folder of the second copy that is not there is named on the machine that has the databases', () => {
    const site = deploySite(fleetOf(2, (fleet) => void (fleet.backup.to = '/mnt/nowhere/second')));
    expect(secondFaults(site, site.coordination)).toEqual([expect.stringMatching(/^\/mnt\/nowhere\/second .*mount/)]);
    expect(secondFaults(site, site.fleet.machines.find(({ id }) => id !== site.coordination.id)!)).toEqual([]);
  });

  test('a card that the host lacks is named; a simulated machine needs none', async () => {
    const [pc2] = fleetOf(1).machines;
    expect(await gpuFaults(pc2!, { PATH: '' }, true)).toEqual([
      expect.stringMatching(/^pc2 has 1 GPU in fleet\.yaml, but nvidia-smi/),
    ]);
    expect(await gpuFaults(reference.machines[0]!, { PATH: '' }, true)).toEqual([]);
  });
});

test('what a part says on its way down is named with its mend', () => {
  const mends = (said: string) => mendsFor(said, '/srv/kit');
  expect(mends('error: password authentication failed for user "soulfra"')).toEqual([
    expect.stringMatching(/^the secret is wrong: \/srv\/kit\/secrets\/soulfra_password .*Put it back/),
  ]);
  expect(mends('WRONGPASS invalid username-password pair')).toEqual([expect.stringMatching(/redis_password/)]);
  expect(mends('could not extend file: No space left on device')).toEqual([
    expect.stringMatching(/^the disk is full.*df -h/),
  ]);
  expect(mends('listen EADDRINUSE: address already in use 127.0.0.1:17000')).toEqual([
    expect.stringMatching(/ss -ltnp/),
  ]);
  expect(mends('ready')).toEqual([]);
});

describe('units of systemd', () => {
  const site = deploySite(fleetOf(2));
  const folder = '/srv/soulfra-deploy';
  const programs = Object.fromEntries(Object.keys(programMends).map((name) => [name, '/bin/true'])) as Programs;
  const layout = { folder, root: '/srv/soulfra', node: '/bin/true', app: '1.0.0', programs, path: '/usr/bin:/bin' };
  const config = hostKit(site, shipped, folder, programs);
  const units = [...unitFiles(site, layout, config, 'root')].filter(([path]) => path.endsWith('.service'));

  test('each starts after what it needs, runs as whom it is told, and holds no secret', () => {
    expect(units.map(([path]) => path)).toEqual([
      ...[
        'postgres',
        'redis',
        'temporal-schema',
        'temporal',
        'temporal-namespace',
        'backup',
        'api',
        'first-fleet',
        'worker',
      ].map((name) => `units/pc2/soulfra-kit-${name}.service`),
      'units/mainpc/soulfra-kit-worker.service',
    ]);
    for (const [path, text] of units) {
      const needed = /^Requires=(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
      const names = units.map(([other]) => other).filter((other) => path.split('/')[1] === other.split('/')[1]);
      for (const need of needed)
        expect(
          names.some((name) => name.endsWith(`/${need}`)),
          `${path} ${need}`,
        ).toBe(true);
      expect(text).toMatch(/^User=root$/m);
      expect(text).toMatch(/^MemoryMax=\d/m);
      expect(text).not.toMatch(/PRIVATE KEY|:\/\/\w+:[^@\s]+@/);
    }
  });

  test('the API takes the word of the proxy of this host, which reaches it from where it is told', () => {
    const [, proxy] = [...config].find(([path]) => path.endsWith('Caddyfile'))!;
    expect(proxy).toContain('reverse_proxy 127.0.0.1:17000');
    const trusting = units.filter(([, text]) => text.includes('SOULFRA_TRUST_PROXY=127.0.0.1'));
    expect(trusting.map(([path]) => path)).toEqual(['units/pc2/soulfra-kit-api.service']);
  });

  test('a changed setting of a server is a change of its unit alone', () => {
    const other = new Map([...config].map(([path, text]) => [path, path.endsWith('redis.conf') ? `${text}#\n` : text]));
    const now = unitFiles(site, layout, other, 'root');
    expect(units.filter(([path, text]) => now.get(path) !== text).map(([path]) => path)).toEqual([
      'units/pc2/soulfra-kit-redis.service',
    ]);
  });

  const lacksAnalyzer = lacks(
    {
      test: 'units of the kit by systemd',
      needs: 'systemd-analyze',
      command: 'apt-get install systemd',
      excused: true,
    },
    onPath('systemd-analyze', process.env) !== undefined,
  );
  test.skipIf(lacksAnalyzer)('systemd itself takes every unit', () => {
    const place = mkdtempSync(join(tmpdir(), 'soulfra-units-'));
    try {
      for (const machine of ['pc2', 'mainpc']) {
        const files = units
          .filter(([path]) => path.startsWith(`units/${machine}/`))
          .map(([path, text]) => {
            const file = join(place, basename(path));
            writeFileSync(file, text);
            return file;
          });
        const verify = (...named: string[]) =>
          spawnSync('systemd-analyze', ['verify', ...named], {
            encoding: 'utf8',
            env: { ...process.env, SYSTEMD_UNIT_PATH: `${place}:` },
          }).stderr;
        const ofOurs = (said: string) => said.split('\n').filter((line) => line.includes('soulfra-kit-'));
        expect(ofOurs(verify(...files))).toEqual([]);
        writeFileSync(files[0]!, readFileSync(files[0]!, 'utf8').replace('Restart=on-failure', 'Restart=sometimes'));
        expect(ofOurs(verify(files[0]!))).not.toEqual([]);
      }
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });
});

test('Postgres hands its changes on, and what backs it up reads its data and writes none', () => {
  const to = '/mnt/second disk';
  const site = deploySite(
    fleetOf(2, (fleet) => {
      fleet.backup.to = to;
      withStandby(fleet);
    }),
  );
  const kit = composeKit(site, shipped);
  expect(kit.get('config/postgresql.conf')).toMatch(
    /^archive_mode = on\narchive_command = '\/bin\/sh \/etc\/soulfra\/pgbackrest\.sh --stanza=soulfra archive-push %p 9>&-'$/m,
  );
  const services = servicesOf(kit.get('coordination.yaml')!);
  const mountsOf = (service: string) =>
    services[service]!.volumes!.map((volume) => {
      if (typeof volume === 'string' || volume.type !== 'volume') return sourceOf(volume);
      return `${volume.source}:${volume.target}${volume.read_only ? ':ro' : ''}`;
    });
  for (const part of ['postgres', 'backup', 'restore'])
    expect(mountsOf(part)).toEqual(expect.arrayContaining(['backup:/var/lib/backup', './secrets/backup_passphrase']));
  expect(mountsOf('backup')).toContain('postgres:/var/lib/postgresql:ro');
  expect(mountsOf('backup')).toContain(to);
  // A restore alone writes there, and never comes up by itself.
  expect(mountsOf('restore')).toContain('postgres:/var/lib/postgresql');
  expect(services['restore']!.profiles).toEqual(['restore']);
  // The host of a standby may not have that folder, and once it has taken over nobody waits for it.
  expect(kit.get('promoted/standby.yaml')).not.toContain(to);
  const promoted = servicesOf(kit.get('promoted/standby.yaml')!);
  for (const part of ['backup', 'restore']) {
    expect(JSON.stringify(promoted[part])).toContain('/etc/soulfra/promoted-cluster.json');
    expect(JSON.stringify(promoted[part])).not.toContain('/etc/soulfra/cluster.json');
  }
  expect(JSON.parse(kit.get('config/promoted-cluster.json')!)).toMatchObject({ second: null, cluster: 'data' });
  expect(JSON.parse(kit.get('config/cluster.json')!)).toMatchObject({ second: '/var/lib/second', cluster: 'data' });
  for (const text of kit.values()) expect(text).not.toMatch(/cipher-pass=/);
});

test('a standby runs its copy alone until it is promoted, and what runs on then stays as it is', () => {
  const site = deploySite(fleetOf(2, withStandby));
  const kit = composeKit(site, shipped);
  const copy = servicesOf(kit.get('standby.yaml')!);
  expect(Object.keys(copy).toSorted()).toEqual(['postgres', 'synchronous', 'volumes']);
  const promoted = servicesOf(kit.get('promoted/standby.yaml')!);
  // A copy that is made another container while it is promoted is away for as long.
  expect(promoted['postgres']).toEqual(copy['postgres']);
  expect(promoted['volumes']).toEqual(copy['volumes']);
  expect(projectOf('promoted/standby.yaml')).toBe(projectOf('standby.yaml'));
  // Everything of the first one, but for the worker of its machine, which has a file of its own.
  const first = Object.keys(servicesOf(kit.get('coordination.yaml')!)).filter(
    (service) => !Object.keys(servicesOf(kit.get('inference-mainpc.yaml')!)).includes(service),
  );
  expect(new Set(Object.keys(promoted))).toEqual(new Set([...first, 'synchronous', 'volumes']));
  // By which of two files it is, and by nothing that would have to be taken back.
  const profiles = Object.values({ ...copy, ...promoted }).flatMap((part) => part.profiles ?? []);
  expect(new Set(profiles)).toEqual(new Set(['observability', 'restore']));
  for (const service of Object.values(promoted))
    expect(JSON.stringify(service.healthcheck ?? {})).not.toContain('state');
});

test('a fleet that is moved in is there before the API begins, and its role may load rows as they were', () => {
  const site = deploySite(fleetOf(2, withStandby));
  const kit = composeKit(site, shipped, { moved: true });
  const services = servicesOf(kit.get('coordination.yaml')!);
  expect(services['move-in']!.depends_on).toEqual({ postgres: { condition: 'service_healthy' } });
  expect(services['api']!.depends_on!['move-in']).toEqual({ condition: 'service_completed_successfully' });
  expect(servicesOf(kit.get('promoted/standby.yaml')!)['move-in']).toBeUndefined();
  expect(kit.get('config/roles.sql')).toMatch(/grant set on parameter session_replication_role to soulfra;/);
  const usual = composeKit(site, shipped);
  expect(usual.get('config/roles.sql')).not.toMatch(/session_replication_role/);
  expect(servicesOf(usual.get('coordination.yaml')!)['move-in']).toBeUndefined();
  const programs = Object.fromEntries(Object.keys(programMends).map((name) => [name, '/bin/true'])) as Programs;
  const layout = {
    folder: '/srv/kit',
    root: '/srv/soulfra',
    node: '/bin/true',
    app: '1',
    programs,
    path: '',
    moved: true,
  };
  const units = unitFiles(site, layout, hostKit(site, shipped, '/srv/kit', programs, { moved: true }), 'root');
  expect(units.get('units/pc2/soulfra-kit-api.service')).toMatch(/^Requires=.*soulfra-kit-move-in\.service/m);
});

test('what was under way goes on by its Schedule, its parent, or anew; what is not known has no way', () => {
  const way = (type: string, of: { scheduled?: true; hasParent?: true } = {}) =>
    wayToGoOn({ type, scheduled: false, hasParent: false, ...of });
  expect([way('reflectFleet'), way('reflectFleet', { scheduled: true })]).toEqual(['asked', 'by_schedule']);
  expect([way('reflectAgent'), way('reflectAgent', { hasParent: true })]).toEqual(['asked', 'by_parent']);
  expect([way('completeChat'), way('ofTomorrow'), way('toString')]).toEqual(['over', undefined, undefined]);
});

test('an error of the kit is one of ours', () => {
  try {
    deploySite(fleetOf(2, (fleet) => void (fleet.deploy.addresses = {})));
    expect.unreachable();
  } catch (err) {
    expect(isDomainError(err, 'CONFIG_INVALID')).toBe(true);
  }
});
