import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Found, findFleet } from '../../config/imports/import-fleet.ts';
import { importOf, inFolder } from '../support/imported.ts';

function service({ file }: Found, id: string) {
  const found = file.services.find((each) => each.id === id);
  if (found === undefined) throw new Error(`${id} is not among ${file.services.map((each) => each.id).join(', ')}`);
  return found;
}
const ids = ({ file }: Found) => file.services.map(({ id }) => id);

describe('startup files', () => {
  test('takes script, path and module at any depth, in mappings and lists', async () => {
    const found = await importOf({
      'fleet.yaml': `a:
  b:
    c:
      deep: { script: deep.sh }
list:
  - - { path: ./nested.py, name: In Lists }
core:
  - { module: pkg.one, port: 1001 }
  - { module: pkg.two, port: 1002 }
`,
    });
    expect(ids(found)).toEqual(['deep', 'in-lists', 'one', 'two']);
    expect(service(found, 'one')).toMatchObject({ command: ['python3', '-m', 'pkg.one'], source: 'fleet.yaml:8' });
    expect(service(found, 'deep')).toMatchObject({ command: ['bash', 'deep.sh'], source: 'fleet.yaml:4' });
  });

  test('what stands around services holds for them, the nearest first', async () => {
    const found = await importOf({
      'x.yaml': `pc2:
  required: false
  cwd: apps
  env: { BASE: 5000 }
  a: { script: a.py, port: "\${BASE}+1" }
  b: { script: b.py, port: "\${BASE}+2", host: BIG-BOX, required: true, env: { BASE: 6000 } }
`,
      'apps/a.py': '',
    });
    expect(service(found, 'a')).toMatchObject({
      machine: 'pc2',
      required: false,
      workingDirectory: 'apps',
      ports: [{ name: 'main', port: 5001 }],
    });
    expect(service(found, 'b')).toMatchObject({
      machine: 'mainpc',
      ports: [{ port: 6002 }],
      unresolved: ['b.py is not in the repository (x.yaml:6)'],
    });
    expect(service(found, 'b').required).toBeUndefined();
  });

  test('what has no value is named, and no port is made up', async () => {
    const found = await importOf({
      'x.yaml': 'a: { script: a.py, port: "${NOWHERE}+1", metrics_port: 99999, machine: pc3, depends_on: [ghost] }\n',
      'a.py': '',
    });
    expect(service(found, 'a').ports).toBeUndefined();
    expect(service(found, 'a').machine).toBeUndefined();
    expect(service(found, 'a').unresolved).toEqual([
      'NOWHERE has no value, for port (x.yaml:1)',
      'port metrics is no port: 99999 (x.yaml:1)',
      'its machine pc3 is not in fleet.yaml (x.yaml:1)',
      'it depends on ghost, which nothing here starts (x.yaml:1)',
    ]);
  });

  test('what an import wrote is not read as if it were the repository', async () => {
    const written =
      'version: 1\nservices:\n  - { id: b, kind: process, command: [b], ports: [{ name: main, port: 1 }], source: x }\n';
    const found = await importOf({
      'x.yaml': 'a: { script: a.py }\n',
      'fleet.d/imported.yaml': written,
      'fleet.d/.imported.base.yaml': written,
    });
    expect(ids(found)).toEqual(['a']);
  });

  test('never the environment of who imports', async () => {
    process.env['SOULFRA_TEST_PORT'] = '7777';
    try {
      const found = await importOf({ 'x.yaml': 'a: { script: a.py, port: "${SOULFRA_TEST_PORT}" }\n' });
      expect(JSON.stringify(found)).not.toContain('7777');
    } finally {
      delete process.env['SOULFRA_TEST_PORT'];
    }
  });

  test('secrets are not copied', async () => {
    const found = await importOf({
      '.env': 'API_KEY=sk-1234\nREGION=eu\n',
      'x.yaml': `a: { script: a.py, args: [--api-key, sk-5678, "--token=sk-9012", --key, "\${API_KEY}", --db, "postgres://u:sk-3456@h/x", --region, "\${REGION}"] }\n`,
    });
    expect(JSON.stringify(found)).not.toContain('sk-');
    expect(service(found, 'a').command).toEqual([
      'python3',
      'a.py',
      '--api-key',
      '${API_KEY}',
      '--token=${TOKEN}',
      '--key',
      '${API_KEY}',
      '--db',
      'postgres://u:${PASSWORD}@h/x',
      '--region',
      'eu',
    ]);
    expect(service(found, 'a').unresolved).toContain('a secret stands in the command, and is not copied (x.yaml:1)');
  });

  test('two of one name on one machine keep apart by their group', async () => {
    const found = await importOf({
      'x.yaml':
        'groups:\n  memory: { api: { script: memory.py }, job: { script: job.py, after: api } }\n  drops: { api: { script: drops.py } }\n',
    });
    expect(ids(found)).toEqual(['drops-api', 'job', 'memory-api']);
    expect(service(found, 'job').dependsOn).toEqual(['memory-api']);
  });

  test('an old copy is the same service, and what it says otherwise is told', async () => {
    const found = await importOf({
      'startup.yaml': 'a: { script: a.py, port: 1000 }\n',
      'old/startup.yaml': 'a: { script: a.py, port: 2000 }\n',
      'a.py': '',
    });
    expect(service(found, 'a')).toMatchObject({
      ports: [{ port: 1000 }],
      source: 'startup.yaml:1',
      alsoIn: ['old/startup.yaml:1'],
    });
    expect(found.notes).toEqual([
      'a has ports 1000 at startup.yaml:1 and 2000 at old/startup.yaml:1; the first is taken',
    ]);
  });

  test('rules derive ports, from any port and also downwards', async () => {
    const found = await importOf(
      {
        'x.yaml':
          'port_rules: [{ name: admin, add: -10, to: metrics }]\na: { script: a.py, port: 7200, metrics_port: 7300 }\nb: { script: b.py, port: 7400, health_port: 9 }\n',
      },
      { portRules: [{ name: 'health', add: 1 }] },
    );
    expect(service(found, 'a').ports).toEqual([
      { name: 'main', port: 7200 },
      { name: 'metrics', port: 7300 },
      { name: 'admin', port: 7290, derived: 'metrics - 10' },
      { name: 'health', port: 7201, derived: 'main + 1' },
    ]);
    // Its own port of that name stays.
    expect(service(found, 'b').ports).toEqual([
      { name: 'main', port: 7400 },
      { name: 'health', port: 9 },
    ]);
  });
});

describe('compose files', () => {
  test('reads both forms of ports, ranges, host network, extends and dependencies', async () => {
    const found = await importOf({
      'compose.yaml': `x-base: &base { restart: always }
services:
  base: { image: "made-up/\${TAG:-1}", command: serve --port 80 }
  a:
    extends: base
    ports: ["8001:80/udp", "9000-9002:90-92", "3000"]
    depends_on: [b]
  b: { <<: *base, image: x, network_mode: host, command: ["serve", "--port", "7000"], gpus: all }
  c: { image: x, ports: [{ target: 80, published: 8003, host_ip: 127.0.0.1 }], healthcheck: { test: curl http://localhost:80/up } }
`,
    });
    expect(service(found, 'a')).toMatchObject({
      image: 'made-up/1',
      dependsOn: ['b'],
      ports: [
        { name: 'main', port: 8001, protocol: 'udp', containerPort: 80 },
        { port: 9000, containerPort: 90 },
        { port: 9001, containerPort: 91 },
        { port: 9002, containerPort: 92 },
      ],
    });
    expect(service(found, 'b')).toMatchObject({
      ports: [{ name: 'main', port: 7000 }],
      gpu: { because: ['it asks for GPUs (compose.yaml:8)'] },
    });
    expect(service(found, 'c')).toMatchObject({
      ports: [{ name: 'main', port: 8003, address: '127.0.0.1', containerPort: 80 }],
      healthCheck: { kind: 'http', port: 8003, path: '/up' },
    });
  });

  test('a service extends one of another file: put together as Compose does, with the paths that the other file means', async () => {
    const found = await importOf({
      'compose.yaml': `services:
  a:
    extends: { file: shared/base.yml, service: worker }
    environment: { LEVEL: debug }
    ports: ["8002:81"]
`,
      'shared/base.yml': `services:
  worker:
    extends: { file: deep/root.yaml, service: root }
    build: .
    env_file: base.env
    environment: [LEVEL=info, KEPT=1]
    ports: ["8001:80"]
    command: serve --port 80
`,
      'shared/base.env': 'X=1\n',
      'shared/Dockerfile': 'FROM x\nCMD ["y"]\n',
      'shared/deep/root.yaml':
        'services: { root: { image: made-up, gpus: all, command: no, healthcheck: { test: curl http://localhost:81/up } } }\n',
    });
    expect(service(found, 'a')).toMatchObject({
      kind: 'container',
      image: 'made-up',
      command: ['serve', '--port', '80'],
      ports: [
        { name: 'main', port: 8001, containerPort: 80 },
        { port: 8002, containerPort: 81 },
      ],
      healthCheck: { kind: 'http', port: 8002, path: '/up' },
      gpu: { because: ['it asks for GPUs (compose.yaml:2)'] },
      source: 'compose.yaml:2',
    });
    // Built from what lies beside the other file.
    expect(ids(found)).not.toContain('shared');
    expect(found.notes).toEqual([]);
  });

  test('what is tagged stands alone, as a list and a mapping, too, and what is reset is as if nobody had written it', async () => {
    const found = await importOf({
      'compose.yaml': `services:
  base:
    image: x
    ports: ["8001:80"]
    environment: { PORT: 1 }
    depends_on: [other]
    profiles: [rare]
    healthcheck: { test: curl http://localhost:80/up, disable: true }
  own:
    extends: base
    ports: !override ["8002:80"]
    environment: !override { LEVEL: debug }
    depends_on: !reset []
    profiles: !reset null
    healthcheck: { disable: !reset true }
  again:
    extends: own
    ports: ["8003:81"]
    depends_on: [own]
  alone: { image: x, profiles: !reset [rare], ports: !override ["8004:80"] }
  other: { image: x, ports: ! ["8005:80"] }
`,
    });
    expect(service(found, 'own')).toMatchObject({
      ports: [{ port: 8002, containerPort: 80 }],
      healthCheck: { kind: 'http', port: 8002, path: '/up' },
    });
    expect(service(found, 'own')).not.toMatchObject({ dependsOn: ['other'] });
    expect(service(found, 'own').required).not.toBe(false);
    expect(service(found, 'again').ports?.map(({ port }) => port)).toEqual([8002, 8003]);
    expect(service(found, 'again').dependsOn).toEqual(['own']);
    expect(service(found, 'base')).toMatchObject({ required: false, dependsOn: ['other'] });
    expect(service(found, 'alone').required).not.toBe(false);
    expect(service(found, 'alone')).toMatchObject({ ports: [{ port: 8004 }] });
    expect(service(found, 'other').ports).toMatchObject([{ port: 8005 }]);
  });

  test('of several documents the first that has a service is extended', async () => {
    const found = await importOf({
      'compose.yaml': 'services: { a: { extends: { file: base.yaml, service: b } } }\n',
      'base.yaml': 'x: 1\n---\nservices: { b: { image: first } }\n---\nservices: { b: { image: second } }\n',
    });
    expect(service(found, 'a')).toMatchObject({ image: 'first' });
  });

  test('what cannot be extended is told, and the service stands as it is written', async () => {
    const chain = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `chain/${i}.yaml`,
        `services: { c: { image: "i${i}", extends: { file: ${i + 1}.yaml, service: c } } }\n`,
      ]),
    );
    const found = await importOf({
      'compose.yaml': `services:
  out: { image: x, extends: { file: ../../etc/base.yaml, service: s } }
  gone: { image: x, extends: { file: none.yaml, service: s } }
  none: { image: x, extends: { file: other.yaml, service: absent } }
  nameless: { image: x, extends: { file: other.yaml } }
  round: { image: x, extends: { file: other.yaml, service: back } }
  deep: { extends: { file: chain/0.yaml, service: c }, image: x }
`,
      'other.yaml': 'services: { back: { image: y, extends: { file: compose.yaml, service: round } } }\n',
      ...chain,
    });
    for (const id of ['out', 'gone', 'none', 'nameless', 'round', 'deep'])
      expect(service(found, id)).toMatchObject({ image: 'x' });
    for (const said of [
      'compose.yaml names ../../etc/base.yaml, which lies outside; it is not read',
      'it extends s of none.yaml, which is no YAML file of the tree that was read (compose.yaml:3)',
      'it extends absent, which other.yaml does not have (compose.yaml:4)',
      'it extends something without a name (compose.yaml:5)',
      'services extend each other in a circle: round → other.yaml back → round (compose.yaml:6)',
      'it extends more than 32 services in a row; the rest is left out (compose.yaml:7)',
    ])
      expect(found.notes).toContain(said);
  });

  test('circles and paths that lead out are told', async () => {
    const found = await importOf({
      'compose.yaml':
        'include: [other/compose.yaml, ../../etc/compose.yaml]\nservices:\n  a: { extends: b, image: x, env_file: /etc/passwd }\n  b: { extends: a, image: x }\n',
      'other/compose.yaml': 'include: [../compose.yaml]\nservices: { c: { image: x } }\n',
    });
    expect(ids(found)).toEqual(['a', 'b', 'c']);
    expect(found.notes.join('\n')).toContain('services extend each other in a circle');
    expect(found.notes.join('\n')).toContain(
      'files include each other in a circle: compose.yaml → other/compose.yaml → compose.yaml',
    );
    expect(found.notes.join('\n')).toContain('compose.yaml names ../../etc/compose.yaml, which lies outside');
    expect(service(found, 'a').unresolved).toEqual(['/etc/passwd lies outside; it is not read (compose.yaml:3)']);
  });
});

test('manifests: several containers, host ports, probes and lists', async () => {
  const found = await importOf({
    'all.yaml': `apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: StatefulSet
    metadata: { name: store }
    spec:
      replicas: 0
      template:
        spec:
          containers:
            - name: main
              command: [python, -m, store.main]
              ports: [{ containerPort: 5000, hostPort: 15000 }]
              livenessProbe: { tcpSocket: { port: 5000 } }
            - { name: side, image: y }
  - { apiVersion: v1, kind: ConfigMap, metadata: { name: innocent } }
`,
    'store/main.py': '',
  });
  expect(ids(found)).toEqual(['store', 'store-side']);
  expect(service(found, 'store')).toMatchObject({
    kind: 'pod',
    required: false,
    ports: [{ name: 'main', port: 15_000, containerPort: 5000 }],
    healthCheck: { kind: 'tcp', port: 15_000 },
    source: 'all.yaml:6',
  });
});

test('hidden folders are told once, but for those of tools', async () => {
  const found = await importOf({
    'a.yaml': 'a: { script: a.py, port: 7000 }\n',
    '.deploy/b.yaml': 'b: { script: b.py, port: 7001 }\n',
    'x/.old/c.yaml': 'c: { script: c.py, port: 7002 }\n',
    '.git/d.yaml': 'd: { script: d.py, port: 7003 }\n',
    '.venv/e.yaml': 'e: { script: e.py, port: 7004 }\n',
  });
  expect(ids(found)).toEqual(['a']);
  expect(found.notes).toEqual(['hidden folders are passed over: .deploy, x/.old; name one to have it read']);
});

test('units: templates and those that start nothing are told', async () => {
  const found = await importOf({
    'a.service':
      '[Service]\nExecStart=\nExecStart=-/usr/bin/env python3 -m pkg.a --port=81\nWorkingDirectory=/srv/a\nType=oneshot\n',
    'b@.service': '[Service]\nExecStart=/bin/b %i\n',
    'c.service': '[Unit]\nDescription=none\n',
  });
  expect(ids(found)).toEqual(['a']);
  expect(service(found, 'a')).toMatchObject({
    kind: 'unit',
    command: ['/usr/bin/env', 'python3', '-m', 'pkg.a', '--port=81'],
    ports: [{ port: 81 }],
    required: false,
    source: 'a.service:3',
  });
  expect(found.notes).toEqual([
    'b@.service is a template without instances; it is left out',
    'c.service starts nothing; it is left out',
  ]);
});

describe('templates of units', () => {
  const worker =
    '[Service]\nExecStart=/usr/bin/python3 -m pkg.worker --queue %i --port=${PORT} --at %I --rate 5%%\nEnvironmentFile=%i.env\nWantedBy=%h\n';

  test('each instance that a unit or a folder of wants names is a service, filled in', async () => {
    const found = await importOf({
      'units/worker@.service': worker,
      'units/mail.env': 'PORT=7101\n',
      'units/a-b.env': 'PORT=7102\n',
      'units/front.service': '[Unit]\nWants=worker@mail.service network.target\n[Service]\nExecStart=/bin/front\n',
      'units/all.target': '[Unit]\nRequires=worker@a-b.service\n  worker@%i.service\n',
      'hosts/pc2/multi-user.target.wants/worker@far.service': '../worker@.service',
      'units/lonely@.service': '[Service]\nExecStart=/bin/lonely %i\n',
    });
    expect(ids(found)).toEqual(['front', 'worker-a-b', 'worker-far', 'worker-mail']);
    expect(service(found, 'worker-mail')).toMatchObject({
      kind: 'unit',
      command: [
        '/usr/bin/python3',
        '-m',
        'pkg.worker',
        '--queue',
        'mail',
        '--port=7101',
        '--at',
        'mail',
        '--rate',
        '5%',
      ],
      ports: [{ name: 'main', port: 7101 }],
      source: 'units/worker@.service:2',
    });
    expect(service(found, 'worker-a-b').command).toEqual(expect.arrayContaining(['a-b', '--port=7102', 'a/b']));
    expect(service(found, 'worker-far')).toMatchObject({ machine: 'pc2' });
    expect(service(found, 'front').dependsOn).toEqual(['worker-mail']);
    expect(found.notes).toEqual(['units/lonely@.service is a template without instances; it is left out']);
  });

  test('links name instances, and none is followed; of two templates the nearest is meant', async () => {
    await inFolder(
      {
        'a/worker@.service': '[Service]\nExecStart=/bin/a %i\n',
        'b/worker@.service': '[Service]\nExecStart=/bin/b %i\n',
        'a/x.target.wants/.keep': '',
        'b/x.target.wants/.keep': '',
      },
      (folder) => {
        symlinkSync('../worker@.service', join(folder, 'a/x.target.wants/worker@one.service'));
        symlinkSync('/etc/passwd', join(folder, 'b/x.target.wants/worker@two.service'));
        const { file } = findFleet({ paths: [folder], machineFiles: [], portRules: [], machines: undefined });
        expect(file.services.map(({ id, command }) => [id, command])).toEqual([
          ['worker-one', ['/bin/a', 'one']],
          ['worker-two', ['/bin/b', 'two']],
        ]);
      },
    );
  });

  test('an instance that two machines have is one on each', async () => {
    const found = await importOf({
      'units/worker@.service': '[Service]\nExecStart=/bin/worker %i\n',
      'hosts/mainpc/x.wants/worker@mail.service': '',
      'hosts/mainpc/y.wants/worker@mail.service': '',
      'hosts/pc2/x.wants/worker@mail.service': '',
      // Says nothing of where.
      'units/all.target': '[Unit]\nWants=worker@mail.service\n',
    });
    expect(ids(found)).toEqual(['worker-mail@mainpc', 'worker-mail@pc2']);
    expect(service(found, 'worker-mail@pc2')).toMatchObject({ machine: 'pc2', command: ['/bin/worker', 'mail'] });
  });

  test('a third machine with a template of its own has its instances when the others have many', async () => {
    const wants = (from: number) =>
      `[Unit]\nWants=${Array.from({ length: 60 }, (_, i) => `w@${from + i}.service`).join(' ')}\n`;
    const found = await importOf(
      Object.fromEntries(
        ['mainpc', 'pc2', 'pc3'].flatMap((host, i) => [
          [`hosts/${host}/w@.service`, `[Service]\nExecStart=/bin/${host} %i\n`],
          [`hosts/${host}/all.target`, wants(100 * i)],
        ]),
      ),
      { machines: [{ id: 'mainpc' }, { id: 'pc2' }, { id: 'pc3' }] },
    );
    expect(found.file.services.filter(({ machine }) => machine === 'pc3')).toHaveLength(60);
    expect(found.file.services).toHaveLength(180);
    expect(found.notes).toEqual([]);
  });

  test('hostile names of instances: paths that lead out, controls, too many, too long', async () => {
    const many = Array.from({ length: 150 }, (_, i) => `many@${i}.service`).join(' ');
    const found = await importOf({
      'units/w@.service': '[Service]\nExecStart=/bin/w %I\nEnvironmentFile=%I.env\n',
      'units/many@.service': '[Service]\nExecStart=/bin/many\n',
      'units/long@.service': `[Service]\nExecStart=/bin/long\nDescription=${'%n'.repeat(9_000)}\n`,
      'x.target': `[Unit]\nWants=w@..-..-etc-passwd.service w@\\x0a.service w@$(touch).service w@a/b.service ${many}\nWants=${Array.from({ length: 60 }, (_, i) => `long@${'l'.repeat(190)}${i}.service`).join(' ')}\n`,
    });
    const commands = found.file.services.filter(({ id }) => id.startsWith('w-')).map(({ command }) => command);
    expect(commands).toEqual([
      ['/bin/w', '../../etc/passwd'],
      ['/bin/w', 'x0a'],
    ]);
    expect(found.file.services.filter(({ id }) => id.startsWith('many-'))).toHaveLength(100);
    expect(found.file.services.filter(({ id }) => id.startsWith('long-')).length).toBeLessThan(20);
    expect(found.notes).toContain(
      'units/many@.service has more instances than are read; those after the first 100 are left out',
    );
    expect(found.notes.join('\n')).toContain('units/long@.service has more instances than are read');
  });
});

test('Dockerfiles: the last stage, and none that only others build on', async () => {
  const found = await importOf({
    'web/Dockerfile':
      'ARG PORT=8080\nFROM node:24 AS build\nCMD ["wrong"]\nFROM node:24\nRUN <<EOF\nCMD wrong\nEOF\nEXPOSE $PORT\nCMD node \\\n  # a note\n  server.js\n',
    'base/Dockerfile': 'FROM node:24\nRUN true\n',
    'Dockerfile.paint': 'FROM nvcr.io/nvidia/pytorch:25.01\nENTRYPOINT ["paint"]\n',
  });
  expect(ids(found)).toEqual(['paint', 'web']);
  expect(service(found, 'web')).toMatchObject({
    command: ['node', 'server.js'],
    ports: [{ name: 'main', port: 8080 }],
  });
  expect(service(found, 'paint').gpu?.because).toEqual([
    'its image is built from nvcr.io/nvidia/pytorch:25.01 (Dockerfile.paint:1)',
  ]);
});

test('requirement files bind to the service that is theirs, or that imports the library', async () => {
  const found = await importOf({
    'x.yaml':
      'own: { script: own/main.py }\nshared: { script: shared.py }\nidle: { script: idle.py }\ntoml: { script: toml/main.py }\ncpu: { script: cpu/main.py }\n',
    'own/main.py': 'print(1)\n',
    'own/requirements.txt': '-r ../common/requirements.txt\n',
    'common/requirements.txt': '-r ../own/requirements.txt\nvllm>=0.12 ; python_version > "3"\n',
    'requirements.txt': 'torch\n',
    'shared.py': 'def f():\n    import torch\n',
    'idle.py': 'import json\n',
    'toml/main.py': '',
    'toml/pyproject.toml': '[project]\nname = "x"\ndependencies = [\n  "Flash_Attn>=2",\n]\n',
    'cpu/main.py': '',
    'cpu/requirements.txt': 'torch==2.9.0+cpu\nonnxruntime\ntorchmetrics\n',
  });
  expect(service(found, 'own').gpu?.because).toEqual(['vllm>=0.12 (common/requirements.txt:2)']);
  expect(service(found, 'shared').gpu?.because).toEqual(['torch (requirements.txt:1)', 'imports torch (shared.py)']);
  expect(service(found, 'toml').gpu?.because).toEqual(['Flash_Attn>=2 (toml/pyproject.toml:4)']);
  expect([service(found, 'idle').gpu, service(found, 'cpu').gpu]).toEqual([undefined, undefined]);
  expect(found.notes.join()).toContain('requirement files include each other in a circle');
});

test('code about migrations that others import is no work package; a script is', async () => {
  const { file } = await importOf({
    'startup.yaml': 'a: { script: a.py }\n',
    'a.py': 'print(1)\n',
    'src/migrate.ts': 'export function migrate() {}\n',
    'src/migration-lines.js': "import { x } from './x.js';\nexport const lines = x;\n",
    'tools/migrate_cache.ts': "import { x } from './x.js';\nawait x();\n",
    'tools/migrate_store.mjs': '#!/usr/bin/env node\nexport const done = true;\nrun();\n',
    'migrations/one.ts': 'export const steps = [];\n',
  });
  expect(file.workPackages.map(({ script }) => script).toSorted()).toEqual([
    'migrations/one.ts',
    'tools/migrate_cache.ts',
    'tools/migrate_store.mjs',
  ]);
});

test('migration scripts: needs, completeness and machine from what they say, and from their names', async () => {
  const found = await importOf({
    'x.yaml': 'a: { script: a.py }\n',
    'tools/migrate_pc2_cache.py': '# Depends-on: WP-1, redis\n# progress: 40%\nprint("x")\n',
    'migration/wp-1-hosts.sh': '#!/bin/bash\n# title: Hosts first\n# - [x] one\n# - [ ] two\necho\n',
    'migration/empty.sh': '#!/bin/bash\nset -e\n',
  });
  expect(found.file.workPackages).toEqual([
    {
      id: 'empty',
      script: 'migration/empty.sh',
      needs: [],
      completeness: { state: 'empty', open: [] },
      source: 'migration/empty.sh:1',
    },
    {
      id: 'migrate-pc2-cache',
      script: 'tools/migrate_pc2_cache.py',
      needs: ['wp-1-hosts', 'redis'],
      completeness: { state: 'partial', percent: 40, open: [] },
      machine: 'pc2',
      source: 'tools/migrate_pc2_cache.py:1',
    },
    {
      id: 'wp-1-hosts',
      title: 'Hosts first',
      script: 'migration/wp-1-hosts.sh',
      needs: [],
      completeness: { state: 'partial', percent: 50, open: ['two (migration/wp-1-hosts.sh:4)'] },
      source: 'migration/wp-1-hosts.sh:2',
    },
  ]);
});

test('no service is an error that names the keys seen', async () => {
  await expect(importOf({ 'a.yaml': 'processes: [{ exe: a, weight: 1 }, { exe: b }]\n' })).rejects.toThrow(
    /holds no service in 1 file that could be read; keys seen: exe, processes, weight/,
  );
});
