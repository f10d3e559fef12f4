import { type ExpectedService, makeMonorepo, type Monorepo } from './monorepo.ts';

/** A fault that an assessment has to name, by rule and subject. */
export interface Planted {
  rule: string;
  subject: string;
}

/** What an import has to find of one service, once `nas` is one of the machines; its ports are judged by the clashes. */
export type KnownService = Pick<ExpectedService, 'id' | 'machine'>;

export interface FaultyMonorepo extends Omit<Monorepo, 'services' | 'workPackages'> {
  services: readonly KnownService[];
  /** Ids of all of them. */
  workPackages: readonly string[];
  planted: readonly Planted[];
  /** Text that stands in the subject of a finding only if what looks like a fault was taken for one. */
  innocents: readonly string[];
}

interface Building {
  files: Map<string, string>;
  planted: Planted[];
  innocents: string[];
  services: KnownService[];
  workPackages: string[];
  /** Ten more, of rules that have another fault planted, or that weigh little. */
  lesser: boolean;
  plant: (rule: string, subject: string) => void;
  innocent: (subject: string) => void;
  /** What an import has to find. */
  serve: (machine: string | undefined, ...ids: string[]) => void;
}

/**
 * The made-up monorepo, first made sound, then with sixty faults and as many things that only look like one. Its fleet:
 * mainpc and pc2, as the shipped fleet.yaml has them, and `nas`, which has no GPU.
 */
export function makeFaultyMonorepo({ lesser = false } = {}): FaultyMonorepo {
  const monorepo = makeMonorepo();
  const files = new Map(monorepo.files);
  const planted: Planted[] = [];
  const innocents: string[] = [];
  // The Dockerfile of the painter is put into a folder that says where it runs.
  const services: KnownService[] = monorepo.services.map(({ id, machine }) =>
    id === 'painter' ? { id, machine: 'mainpc' } : known(id, machine),
  );
  const packages = monorepo.workPackages.map(({ id }) => id);
  const building: Building = {
    files,
    planted,
    innocents,
    services,
    workPackages: packages,
    lesser,
    plant: (rule, subject) => void planted.push({ rule, subject }),
    innocent: (subject) => void innocents.push(subject),
    serve: (machine, ...ids) => void services.push(...ids.map((id) => known(id, machine))),
  };
  makeSound(files);
  portClashes(building);
  portLookAlikes(building);
  containers(building);
  units(building);
  workPackages(building);
  configuration(building);
  security(building);
  places(building);
  code(building);
  const byId = (a: string, b: string) => (a < b ? -1 : 1);
  return {
    ...monorepo,
    files,
    planted,
    innocents,
    services: services.toSorted((a, b) => byId(a.id, b.id)),
    workPackages: packages.toSorted(byId),
  };
}

function known(id: string, machine: string | undefined): KnownService {
  return machine === undefined ? { id } : { id, machine };
}

/** fleet.yaml of the three machines: the shipped one with a box that has no card. */
export function withoutGpu(fleetYaml: string): string {
  return fleetYaml.replace(/^machines:\n/m, 'machines:\n  - id: nas\n    roles: {}\n');
}

const script = 'import time\n\ntime.sleep(1)\n';

/** What the plain monorepo lacks, so that each finding is one that was planted. */
function makeSound(files: Map<string, string>): void {
  files.set('.gitignore', '.env\n.env.*\n*.pem\n');
  files.set('scripts/environment.sh', '#!/usr/bin/env bash\nexport LEVEL="$LOG_LEVEL" TOKEN="$API_TOKEN"\n');
  files.set('docs/runbook.md', '# What to do\n');
  files.set(
    'observability/prometheus.yaml',
    `scrape_configs:\n  - job_name: agents\n    static_configs:\n      - targets: [${Array.from({ length: 16 }, (_, i) => `"pc2:${9501 + i}"`).join(', ')}, "mainpc:9651"]\n`,
  );
  for (const [name, text] of files) {
    if (name.startsWith('migration/')) {
      files.set(
        name,
        text
          .replace('# TODO stop the old one first\n', '')
          .replace(/(# machine: .*\n)$/, '$1echo "part of it"\n')
          .replace('# needs', '# undo: the step before\n# needs'),
      );
    }
    if (/^models\/.*serve\.py$/.test(name))
      files.set(name, `${text}\nprint(${text.includes('LLM') ? 'LLM' : 'numpy'})\n`);
  }
  const models = files.get('config/groups/models.yaml')!;
  files.set(
    'config/groups/models.yaml',
    models.replaceAll(/(port: "\$\{BASE\}\+(?:0|10|20)")\n/g, '$1\n    vram: 3GB\n').replace('vram: 12GB', 'vram: 4GB'),
  );
  files.set(
    'deploy/mainpc/compose.yaml',
    files
      .get('deploy/mainpc/compose.yaml')!
      .replace('  cache:\n', '  cache:\n    restart: always\n    mem_limit: 1g\n')
      .replace('  search:\n', '  search:\n    restart: unless-stopped\n    mem_limit: 1g\n')
      .replace(/    deploy: \{ resources: \{ reservations.*\n/, '')
      .replace(
        '  vision:\n    image: made-up/vision:1\n',
        '  vision:\n    image: made-up/vision:1\n    restart: always\n    mem_limit: 8g\n    healthcheck: { test: [CMD, look] }\n',
      ),
  );
  files.set('k8s/scorer.yaml', files.get('k8s/scorer.yaml')!.replace(/ *resources: \{ limits.*\n/, ''));
  // Its folder says where it runs.
  files.set(
    'tools/mainpc/painter/Dockerfile',
    'FROM debian:13\nUSER painter\nEXPOSE 7860/tcp\nHEALTHCHECK CMD /opt/paint --ask\nENTRYPOINT ["/opt/paint"]\n',
  );
  files.delete('tools/painter/Dockerfile');
  files.set('search/Dockerfile', files.get('search/Dockerfile')!.replace('EXPOSE', 'USER search\nEXPOSE'));
}

interface Entry {
  name: string;
  machine?: string;
  port?: string | number;
  more?: string[];
}

/** Services of the first dialect, with their machine beside them. */
function startup(
  { files, serve }: Building,
  file: string,
  entries: readonly Entry[],
  head: readonly string[] = [],
): void {
  const lines = [...head, 'late:'];
  for (const { name, machine, port, more = [] } of entries) {
    files.set(`late/${name}.py`, script);
    if (!more.includes('enabled: false')) serve(machine, name);
    lines.push(`  ${name}:`, `    script: late/${name}.py`);
    if (machine !== undefined) lines.push(`    machine: ${machine}`);
    if (port !== undefined) lines.push(`    port: ${port}`);
    lines.push(...more.map((line) => `    ${line}`));
  }
  files.set(file, `${lines.join('\n')}\n`);
}

/** Twenty that no file declares: in each at least one of the two ports follows by a rule. Two more are declared in two dialects. */
function portClashes(building: Building): void {
  const { files, plant, serve, lesser } = building;
  const entries: Entry[] = [];
  // Health ports of the first dialect, on both machines: the second moves them by its PORT_OFFSET.
  for (let d = 0; d < 4; d++) {
    const health = 7201 + d * 200;
    entries.push({ name: `late-main-${d}`, machine: 'mainpc', port: health });
    plant('port-derived-clash', `mainpc:${health}`);
    entries.push({ name: `late-pc-${d}`, machine: 'pc2', port: `\${PORT_OFFSET}+${health}` });
    plant('port-derived-clash', `pc2:${health + 100}`);
  }
  // By a second rule, from the port for metrics; of the health ports among them neither of the two stands anywhere.
  for (let i = 0; i < 2; i++) {
    entries.push({ name: `late-probe-${i}`, machine: 'pc2', port: 9602 + i * 2 });
    plant('port-derived-clash', `pc2:${9602 + i * 2}`);
    plant('port-derived-clash', `pc2:${9603 + i * 2}`);
  }
  startup(building, 'config/late.yaml', entries, ['port_rules:', '  - { name: probe, add: "+101", to: metrics }']);
  // A unit's own health port against a service of the first dialect, and the other way round.
  for (let i = 0; i < 4; i++) {
    const port = 7800 + i * 20;
    const taken = 7201 + 5 * 200 + 100 + i * 10;
    files.set(`units/pc2/late-unit-${i}.service`, unit(`late-unit-${i}`, i < 2 ? taken : port));
    serve('pc2', `late-unit-${i}`);
    if (i < 2) plant('port-derived-clash', `pc2:${taken}`);
    else {
      startupOne(building, `late-beside-${i}`, 'pc2', port + 1);
      plant('port-derived-clash', `pc2:${port + 1}`);
    }
  }
  // What compose publishes against the health port of a process.
  const published = [8101, 8111, 8121, 8131].map((port, i) => {
    plant('port-derived-clash', `mainpc:${port}`);
    serve('mainpc', `late-published-${i}`);
    return container(`late-published-${i}`, [`ports: ["${port}:80"]`]);
  });
  files.set('deploy/mainpc/compose.late.yaml', `services:\n${published.join('')}`);
  files.set(
    'deploy/mainpc/compose.twice.yaml',
    `services:\n${container('late-declared-0', ['ports: ["7600:80"]'])}${lesser ? container('late-declared-1', ['ports: ["0.0.0.0:8140:80"]']) : ''}`,
  );
  plant('port-declared-clash', 'mainpc:7600');
  serve('mainpc', 'late-declared-0');
  if (lesser) {
    plant('port-declared-clash', 'mainpc:8140');
    serve('mainpc', 'late-declared-1');
  }
}

function startupOne(building: Building, name: string, machine: string, port: number): void {
  startup(building, `config/${name}.yaml`, [{ name, machine, port }]);
}

function unit(name: string, port: number, more: readonly string[] = ['Restart=always']): string {
  return `[Unit]\nDescription=Made up\n[Service]\nEnvironment=PORT=${port}\nExecStart=/usr/bin/python3 /srv/fleet/units/${name}.py --port \${PORT}\n${more.join('\n')}\n`;
}

const sound = ['image: made-up/thing:1', 'restart: always', 'mem_limit: 1g', 'healthcheck: { test: [CMD, look] }'];

/** A sound one, unless a line in `more` begins like one of those. */
function container(name: string, more: readonly string[], without: readonly string[] = []): string {
  const key = (line: string) => line.split(':')[0]!;
  const usual = sound.filter((line) => !without.includes(key(line)) && !more.some((each) => key(each) === key(line)));
  return `  ${name}:\n${[...usual, ...more].map((line) => `    ${line}\n`).join('')}`;
}

function portLookAlikes(building: Building): void {
  const { files, innocent, serve } = building;
  const name = (kind: string, i: number) => {
    innocent(`innocent-${kind}-${i}`);
    return `innocent-${kind}-${i}`;
  };
  // The number is taken, on the other machine.
  const elsewhere = Array.from({ length: 6 }, (_, i) => ({
    name: name('elsewhere', i),
    machine: i % 2 === 0 ? 'pc2' : 'mainpc',
    port: i % 2 === 0 ? 7211 + i * 200 : 9011 + i * 10,
  }));
  // Beside a derived port, not at it; a port of its own for health; one by the offset of its machine.
  const near = Array.from({ length: 4 }, (_, i) => ({
    name: name('near', i),
    machine: 'mainpc',
    port: 7203 + i * 200,
    more: [`health_port: ${7204 + i * 200}`],
  }));
  const moved = Array.from({ length: 3 }, (_, i) => ({
    name: name('moved', i),
    machine: 'pc2',
    port: `\${PORT_OFFSET}+${7105 + i * 200}`,
  }));
  const off = Array.from({ length: 3 }, (_, i) => ({
    name: name('off', i),
    machine: 'mainpc',
    port: 7201 + i * 200,
    more: ['enabled: false'],
  }));
  startup(building, 'config/innocent.yaml', [...elsewhere, ...near, ...moved, ...off]);
  const contained = (kind: string, i: number, more: readonly string[]) => {
    const id = name(kind, i);
    serve('mainpc', id);
    return container(id, more);
  };
  // The same number: by UDP, on another address of the own host, or inside the container alone.
  const udp = Array.from({ length: 4 }, (_, i) => contained('udp', i, [`ports: ["${7200 + i * 200}:53/udp"]`]));
  const loopback = Array.from({ length: 4 }, (_, i) =>
    contained('loopback', i, [`ports: ["127.0.0.${i + 2}:6379:80"]`]),
  );
  const inside = Array.from({ length: 4 }, (_, i) => contained('inside', i, [`ports: ["${8850 + i}:7200"]`]));
  const unpublished = Array.from({ length: 2 }, (_, i) => contained('unpublished', i, ['expose: ["7200"]']));
  files.set(
    'deploy/mainpc/compose.innocent.yaml',
    `services:\n${[...udp, ...loopback, ...inside, ...unpublished].join('')}`,
  );
}

function containers({ files, plant, innocent, serve, lesser }: Building): void {
  const all: string[] = [];
  const add = (name: string, more: readonly string[], without: readonly string[] = []) => {
    serve('mainpc', name);
    all.push(container(name, more, without));
  };
  add('drifting', ['image: made-up/thing:latest']);
  plant('image-unpinned', 'drifting');
  add('innocent-digest', [`image: made-up/thing@sha256:${'ab'.repeat(32)}`]);
  innocent('innocent-digest');
  add('unasked', ['ports: ["8860:80"]', 'healthcheck: { disable: true }']);
  plant('health-check-missing', 'unasked');
  add('innocent-silent', [], ['healthcheck']);
  innocent('innocent-silent');
  if (lesser) {
    add('once', [], ['restart']);
    plant('restart-missing', 'once');
  }
  add(
    'innocent-policy',
    ['deploy: { restart_policy: { condition: on-failure }, resources: { limits: { memory: 1g } } }'],
    ['restart', 'mem_limit'],
  );
  innocent('innocent-policy');
  add('mighty', ['privileged: true']);
  plant('container-privileged', 'mighty');
  add('innocent-meek', ['privileged: false', 'cap_drop: [ALL]']);
  innocent('innocent-meek');
  if (lesser) {
    add('steering', ['volumes: ["/var/run/docker.sock:/var/run/docker.sock"]']);
    plant('container-privileged', 'steering');
  }
  add('open-store', ['image: redis:8', 'ports: ["6390:6379"]']);
  plant('store-exposed', 'open-store');
  add('innocent-store', ['image: redis:8', 'ports: ["127.0.0.1:6391:6379"]']);
  innocent('innocent-store');
  add('forgetful', ['image: postgres:18']);
  plant('store-without-volume', 'forgetful');
  add('uncopied', ['image: postgres:18', 'volumes: ["uncopied-data:/var/lib/postgresql"]']);
  plant('store-without-backup', 'uncopied');
  add('innocent-copied', ['image: postgres:18', 'volumes: ["copied-data:/var/lib/postgresql"]']);
  innocent('innocent-copied');
  for (const one of ['twin-one', 'twin-two']) add(one, ['image: mariadb:12', 'volumes: ["twin-data:/var/lib/mysql"]']);
  plant('volume-shared', 'twin-one twin-two');
  files.set(
    'scripts/backup.sh',
    '#!/usr/bin/env bash\npg_dump --host innocent-copied > copied.sql\ncp twin-data/x /mnt\n',
  );
  if (lesser) {
    add('hungry', [], ['mem_limit']);
    plant('memory-unlimited', 'hungry');
  }
  add('hasty', ['stop_grace_period: 0s']);
  plant('stop-not-graceful', 'hasty');
  add('innocent-patient', ['stop_grace_period: 1m30s', 'stop_signal: SIGINT']);
  innocent('innocent-patient');
  add('rooted', ['build: ../../rooted'], ['image']);
  files.set('rooted/Dockerfile', 'FROM debian:13\nHEALTHCHECK CMD true\nCMD ["/opt/rooted"]\n');
  plant('image-as-root', 'rooted/Dockerfile');
  add('innocent-given-user', ['build: ../../given', 'user: "1000"'], ['image']);
  files.set('given/Dockerfile', 'FROM debian:13\nCMD ["/opt/given"]\n');
  innocent('given/Dockerfile');
  add('shelled', ['build: ../../shelled'], ['image']);
  files.set('shelled/Dockerfile', 'FROM debian:13\nUSER app\nCMD /opt/shelled --all\n');
  plant('signals-kept-by-shell', 'shelled/Dockerfile');
  add('innocent-listed', ['build: ../../listed'], ['image']);
  files.set('listed/Dockerfile', 'FROM debian:13 AS base\nUSER app\nFROM base\nENTRYPOINT exec /opt/listed\n');
  innocent('listed/Dockerfile');
  add('any-model', ['command: [serve, --model, made-up/talker]']);
  plant('model-unpinned', 'any-model');
  add('innocent-model', ['command: [serve, --model, made-up/talker, --revision, abc123]']);
  innocent('innocent-model');
  add('measured', ['image: made-up/measured:1', 'ports: [{ target: 9100, published: "9650", name: metrics }]']);
  plant('not-scraped', 'measured');
  add('innocent-measured', ['ports: [{ target: 9100, published: "9651", name: metrics }]']);
  innocent('innocent-measured');
  files.set('deploy/mainpc/compose.boxes.yaml', `services:\n${all.join('')}`);
}

function units({ files, plant, innocent, serve, lesser }: Building): void {
  serve('pc2', 'falling', 'mute', 'innocent-journal', ...(lesser ? ['killed'] : []));
  files.set('units/pc2/falling.service', unit('falling', 9730, []));
  plant('restart-missing', 'falling');
  if (lesser) {
    files.set('units/pc2/killed.service', unit('killed', 9740, ['Restart=always', 'KillSignal=SIGKILL']));
    plant('stop-not-graceful', 'killed');
  }
  files.set('units/pc2/mute.service', unit('mute', 9750, ['Restart=always', 'StandardOutput=null']));
  plant('output-discarded', 'units/pc2/mute.service StandardOutput=null');
  files.set(
    'units/pc2/innocent-journal.service',
    unit('innocent-journal', 9760, [
      'Restart=on-failure',
      'StandardOutput=journal',
      'TimeoutStopSec=90s',
      'KillMode=mixed',
    ]),
  );
  innocent('innocent-journal');
}

function workPackages({ files, plant, innocent, lesser, workPackages: ids }: Building): void {
  const write = (name: string, lines: readonly string[]) => {
    ids.push(name);
    files.set(`migration/${name}.sh`, `#!/usr/bin/env bash\n${lines.join('\n')}\n`);
  };
  const undo = '# undo: take it back';
  write('wp-21-round', [undo, '# needs: WP-22', 'echo a']);
  write('wp-22-trip', [undo, '# needs: WP-21', 'echo b']);
  plant('package-cycle', 'wp-21-round wp-22-trip');
  write('wp-23-lost', [undo, '# needs: WP-99', 'echo c']);
  plant('package-need-missing', 'wp-23-lost WP-99');
  write('wp-24-half', [undo, '# progress: 40%', 'echo d']);
  plant('package-incomplete', 'wp-24-half');
  write('wp-25-hollow', [undo, '# needs: WP-01']);
  plant('package-empty', 'wp-25-hollow');
  write('wp-26-early', [undo, '# needs: WP-24', 'echo e']);
  plant('package-too-early', 'wp-26-early');
  if (lesser) {
    write('wp-27-final', ['# needs: WP-01', 'echo f']);
    plant('package-without-undo', 'wp-27-final');
  }
  write('wp-28-innocent', ['# needs: docker, a quiet evening', '# progress: 100%', 'echo g', 'rollback() { echo h; }']);
  innocent('wp-28-innocent');
}

function configuration({ files, plant, innocent, serve, lesser }: Building): void {
  // The same script at two ports, in two files that are both in use; a copy that is old may say what it likes.
  files.set('late/told-twice.py', script);
  files.set('late/innocent-told.py', script);
  files.set(
    'config/told-a.yaml',
    'a:\n  told-twice: { script: late/told-twice.py, port: 8901, machine: mainpc }\n  innocent-told: { script: late/innocent-told.py, port: 8905, machine: mainpc }\n',
  );
  files.set(
    'config/told-b.yaml',
    'b:\n  told-twice: { script: late/told-twice.py, port: 8903, machine: mainpc }\n  innocent-told: { script: late/innocent-told.py, port: 8905, machine: mainpc }\n',
  );
  serve('mainpc', 'told-twice', 'innocent-told');
  plant('described-differently', 'told-twice');
  innocent('innocent-told');
  if (lesser) {
    files.set(
      'config/told-a.old.yaml',
      'a:\n  innocent-told: { script: late/innocent-told.py, port: 8907, machine: mainpc }\n',
    );
    plant('deprecated-copy', 'config/told-a.old.yaml');
  }
  files.set('config/copying/innocent-backup-times.yaml', 'every: 6h\n');
  innocent('innocent-backup-times');
  files.set('late/wanting.py', 'import os\n\nprint(os.environ["MADE_UP_WANTED"])\n');
  files.set(
    'late/innocent-content.py',
    'import os\n\n# os.environ["MADE_UP_COMMENT"]\nprint(os.environ["LOG_LEVEL"], os.environ.get("MADE_UP_OTHER"), os.environ["MADE_UP_OWN"])\n',
  );
  files.set(
    'config/variables.yaml',
    'v:\n  wanting: { script: late/wanting.py, machine: mainpc }\n  innocent-content: { script: late/innocent-content.py, machine: mainpc, env: { MADE_UP_OWN: "1" } }\n  stranded: { script: late/stranded.py, machine: mainpc, depends_on: [nobody] }\n  innocent-tied: { script: late/stranded.py, machine: pc2, depends_on: [backup-watch] }\n  bodiless: { script: late/bodiless.py, machine: mainpc }\n',
  );
  files.set('late/stranded.py', script);
  serve('mainpc', 'wanting', 'innocent-content', 'stranded', 'bodiless');
  serve('pc2', 'innocent-tied');
  plant('variable-unset', 'wanting MADE_UP_WANTED');
  innocent('innocent-content');
  plant('dependency-missing', 'stranded nobody');
  innocent('innocent-tied');
  plant('script-missing', 'bodiless late/bodiless.py');
  files.set('config/late.env', `${lesser ? 'MADE_UP_FORGOTTEN=1\n' : ''}MADE_UP_READ=1\n`);
  files.set('scripts/read.sh', '#!/usr/bin/env bash\necho "$MADE_UP_READ"\n');
  if (lesser) plant('variable-unused', 'config/late.env MADE_UP_FORGOTTEN');
  innocent('MADE_UP_READ');
}

function security({ files, plant, innocent, serve, lesser }: Building): void {
  // Put together here, so that no file of this repository holds what looks like a secret.
  const key = ['-----BEGIN', 'PRIVATE KEY-----'].join(' ');
  files.set('keys/door.key.txt', `${key}\nMIIB\n`);
  plant('secret-in-file', 'keys/door.key.txt a private key');
  const mixed = ['q7Zp', '93Lw', 'x2Vb', 'K8Tn'].join('');
  files.set('config/access.yaml', `outside:\n  api_key: ${mixed}\n`);
  plant('secret-in-file', 'config/access.yaml the value of api_key');
  if (lesser) {
    files.set('config/links.ini', `[db]\nurl = postgres://owner:${mixed}@db.lan/made_up\n`);
    plant('secret-in-file', 'config/links.ini a password in an address');
  }
  files.set('.env.mainpc', `API_TOKEN=${mixed}\n`);
  innocent('.env.mainpc');
  for (const [i, text] of [
    'api_key: ${API_TOKEN}\n',
    'password: change-me-123\n',
    'url: postgres://owner:${DB_PASSWORD:-}@db.lan/x\n',
    'token: <your token 123>\n',
    'token_limit: 4096\npad_token: "<|end1|>"\n',
    'secret: my-secret-name\n',
    'checksum: 9f86d081884c7d659a2feaa0c55ad015\n',
  ].entries()) {
    files.set(`config/innocent-words-${i}.yaml`, text);
    innocent(`innocent-words-${i}`);
  }
  files.set('config/door.yaml', 'door:\n  auth_enabled: false\n');
  plant('authentication-off', 'config/door.yaml auth_enabled: false');
  files.set(
    'config/innocent-door.yaml',
    'door:\n  auth_enabled: true\n  # auth_enabled: false\n  author_required: no\n',
  );
  innocent('innocent-door');
  files.set('late/trusting.py', 'import requests\n\nrequests.get("https://door.lan", verify=False)\n');
  files.set('late/innocent-checking.py', 'import requests\n\nrequests.get("https://door.lan", verify="ca.crt")\n');
  plant('certificate-unchecked', 'late/trusting.py verify=False');
  innocent('innocent-checking.py');
  files.set('late/deaf.py', 'import signal\n\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n');
  files.set('late/innocent-hearing.py', 'import signal\n\nsignal.signal(signal.SIGTERM, lambda *_: exit(0))\n');
  plant('stop-ignored', 'late/deaf.py');
  innocent('innocent-hearing.py');
  files.set('config/feeds.yaml', 'feed: http://feeds.made-up.example/new\n');
  plant('plain-http', 'config/feeds.yaml http://feeds.made-up.example');
  files.set(
    'config/innocent-links.yaml',
    'a: https://feeds.made-up.example/new\nb: http://localhost:7200/x\nc: http://nas.lan/x\nd: http://10.1.2.3/x\ne: http://search:8000/x\n# http://old.made-up.example\nf: "http://www.w3.org/2005/Atom"\n',
  );
  innocent('innocent-links');
  serve('mainpc', 'trusting', 'innocent-checking', 'deaf', 'innocent-hearing');
  files.set(
    'config/trust.yaml',
    't:\n  trusting: { script: late/trusting.py, machine: mainpc }\n  innocent-checking: { script: late/innocent-checking.py, machine: mainpc }\n  deaf: { script: late/deaf.py, machine: mainpc }\n  innocent-hearing: { script: late/innocent-hearing.py, machine: mainpc }\n',
  );
}

function places({ files, plant, innocent, serve }: Building): void {
  for (const name of [
    'astray',
    'homeless',
    'ring-a',
    'ring-b',
    'asking',
    'heavy',
    'graphic',
    'unsized',
    'innocent-sized',
    'innocent-chain',
  ])
    files.set(`late/${name}.py`, script);
  files.set(
    'config/places.yaml',
    `p:
  astray: { script: late/astray.py, machine: tower }
  homeless: { script: late/homeless.py }
  ring-a: { script: late/ring-a.py, machine: mainpc, depends_on: [ring-b] }
  ring-b: { script: late/ring-b.py, machine: mainpc, depends_on: [ring-a] }
  asking: { script: late/asking.py, machine: pc2, depends_on: [near-only] }
  innocent-chain: { script: late/innocent-chain.py, machine: mainpc, depends_on: [near-only] }
  heavy: { script: late/heavy.py, machine: pc2, vram: 40GB }
  graphic: { script: late/graphic.py, machine: nas, vram: 1GB }
  unsized: { script: late/unsized.py, machine: mainpc, gpu: true }
  innocent-sized: { script: late/innocent-sized.py, machine: mainpc, vram: 500MB }
`,
  );
  // The fleet has no machine called tower.
  serve(undefined, 'astray', 'homeless');
  serve('mainpc', 'ring-a', 'ring-b', 'innocent-chain', 'unsized', 'innocent-sized', 'near-only');
  serve('pc2', 'asking', 'heavy');
  serve('nas', 'graphic');
  files.set(
    'deploy/mainpc/compose.near.yaml',
    `services:\n${container('near-only', ['ports: ["127.0.0.1:8890:80"]'])}`,
  );
  plant('machine-unknown', 'astray');
  plant('machine-unnamed', 'homeless');
  plant('dependency-cycle', 'ring-a ring-b');
  plant('dependency-out-of-reach', 'asking near-only');
  innocent('innocent-chain');
  plant('vram-exceeded', 'pc2');
  plant('gpu-where-none-is', 'graphic');
  plant('gpu-without-size', 'unsized');
  innocent('innocent-sized');
}

function code({ files, plant, innocent, lesser }: Building): void {
  const body = (word: string) => Array.from({ length: 14 }, (_, i) => `${word}_${i} = ${i}`).join('\n');
  files.set('shared/forsaken.py', 'VALUE = 1\n');
  plant('module-unreachable', 'shared/forsaken.py');
  files.set('shared/innocent_named.py', 'VALUE = 1\n');
  innocent('innocent_named.py');
  files.set('shared/innocent_run.py', 'if __name__ == "__main__":\n    print(1)\n');
  innocent('innocent_run.py');
  files.set('shared/first_copy.py', `${body('same')}\n`);
  files.set('shared/second_copy.py', `# copied\n${body('same')}\n`);
  plant('module-duplicate', 'shared/first_copy.py shared/second_copy.py');
  files.set('shared/innocent_other.py', `${body('other')}\n`);
  innocent('innocent_other.py');
  if (lesser) {
    files.set('shared/wasteful.py', 'import json\nimport time\n\nprint(time.time())\n');
    plant('import-unused', 'shared/wasteful.py json');
  }
  files.set(
    'shared/innocent_imports.py',
    'from __future__ import annotations\n\nimport json  # noqa: F401\nfrom typing import Any as Any, List\n\ntry:\n    import torch\nexcept ImportError:\n    pass\n\n__all__ = ["List"]\n',
  );
  innocent('innocent_imports.py');
  files.set('shared/snake.py', 'from shared import tail\n\nprint(tail)\n');
  files.set('shared/tail.py', 'from shared.snake import print as head\n\nprint(head)\n');
  plant('import-cycle', 'shared/snake.py shared/tail.py');
  files.set('shared/innocent_lazy.py', 'from shared import innocent_later\n\nprint(innocent_later)\n');
  files.set(
    'shared/innocent_later.py',
    'def late():\n    from shared import innocent_lazy\n\n    return innocent_lazy\n',
  );
  innocent('innocent_lazy.py');
  innocent('innocent_later.py');
  files.set(
    'scripts/run-all.sh',
    '#!/usr/bin/env bash\nfor each in innocent_named first_copy second_copy innocent_other wasteful innocent_imports snake innocent_lazy; do python3 -m "shared.$each"; done\n',
  );
}
