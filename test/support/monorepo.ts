import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What an import of the made-up repository has to find of one service. */
export interface ExpectedService {
  id: string;
  machine?: string;
  ports: number[];
  derived?: number[];
  dependsOn?: string[];
  required?: false;
  gpu?: true;
}

export interface Monorepo {
  /** Names of all files, with their text. */
  files: ReadonlyMap<string, string>;
  services: readonly ExpectedService[];
  /** Ids of work packages, with what is known of each. */
  workPackages: ReadonlyArray<{
    id: string;
    state: 'complete' | 'partial' | 'empty';
    machine?: string;
    needs: string[];
  }>;
  /** Names that look like services, and are none. */
  lookAlikes: readonly string[];
  /** Options of `soulfra import`. */
  options: readonly string[];
}

const machines = ['mainpc', 'pc2'] as const;
const domains = ['memory', 'drops', 'guilds', 'ledger', 'whispers', 'threads', 'masks', 'ballots'] as const;
const roles = ['api', 'worker', 'indexer', 'gateway'] as const;

/**
 * A made-up monorepo of two machines: some ninety services in three dialects of startup configuration, compose files, manifests
 * and units, a dozen migration scripts, and innocent look-alikes. Always the same; nothing in it is anyone's.
 */
export function makeMonorepo(): Monorepo {
  const files = new Map<string, string>();
  const services: ExpectedService[] = [];
  files.set('.env', 'PORT_OFFSET=0\nLOG_LEVEL=info\nAPI_TOKEN=quiet-secret\n');
  files.set('.env.pc2', '# the second machine moves all its ports\nexport PORT_OFFSET="100"\n');
  for (const machine of machines) groupsDialect(machine, files, services);
  listsDialect(files, services);
  modulesDialect(files, services);
  composeDialect(files, services);
  manifests(files, services);
  units(files, services);
  images(files, services);
  const workPackages = migrations(files);
  const lookAlikes = innocents(files);
  return {
    files,
    services: services.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    workPackages,
    lookAlikes,
    options: ['--machine', 'mainpc=config/startup.mainpc.yaml', '--machine', 'pc2=config/startup.pc2.yaml'],
  };
}

/** Puts it below a folder. */
export function writeMonorepo(folder: string, { files }: Pick<Monorepo, 'files'> = makeMonorepo()): void {
  for (const [name, text] of files) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    if (text.startsWith('#!')) chmodSync(path, 0o755);
  }
}

/** First dialect: groups as mappings of mappings, by script, with ports by expression; the same on both machines. */
function groupsDialect(
  machine: (typeof machines)[number],
  files: Map<string, string>,
  services: ExpectedService[],
): void {
  const offset = machine === 'pc2' ? 100 : 0;
  const lines = ['# made up', 'port_rules:', '  health: +1', 'startup:'];
  for (const [d, domain] of domains.entries()) {
    lines.push(`  ${domain}:`);
    for (const [r, role] of roles.entries()) {
      const script = `services/${domain}/${role}.py`;
      const port = 7200 + d * 200 + r * 10;
      const shared = role === 'api' || role === 'worker';
      // Indexers live on the second machine alone, gateways on the first.
      if (!shared && machine !== (role === 'indexer' ? 'pc2' : 'mainpc')) continue;
      files.set(script, `"""Made up."""\nimport json\n\nprint(json.dumps({"role": "${role}"}))\n`);
      const after = role === 'api' ? [] : [`${domain}_api`];
      lines.push(
        `    ${domain}_${role}:`,
        `      script: ${script}`,
        `      port: \${PORT_OFFSET:-0}+${port}`,
        ...(role === 'api' ? ['      health_check: /healthz'] : []),
        ...(after.length > 0 ? [`      depends_on: [${after.join(', ')}]`] : []),
        ...(role === 'indexer' ? ['      required: false'] : []),
      );
      services.push({
        id: shared ? `${domain}-${role}@${machine}` : `${domain}-${role}`,
        machine,
        ports: [port + offset],
        derived: [port + offset + 1],
        dependsOn: after.map(() => `${domain}-api@${machine}`),
        ...(role === 'indexer' ? { required: false as const } : {}),
      });
    }
  }
  lines.push('include:', `  - ${machine === 'pc2' ? 'groups/agents.yaml' : 'groups/models.yaml'}`);
  files.set(`config/startup.${machine}.yaml`, `${lines.join('\n')}\n`);
}

/** Second dialect: lists in groups, by path, included by the file of pc2. */
function listsDialect(files: Map<string, string>, services: ExpectedService[]): void {
  const lines = ['groups:', '  - name: agents', '    members:'];
  for (let i = 1; i <= 16; i++) {
    const name = `agent-${String(i).padStart(2, '0')}`;
    files.set(`agents/${name}.py`, 'import time\n\ntime.sleep(1)\n');
    const port = 9000 + i * 10;
    lines.push(
      `      - name: ${name}`,
      `        path: agents/${name}.py`,
      `        ports: { http: ${port}, metrics: "\${METRICS_BASE:-9500}+${i}" }`,
      `        health: { path: /live, port: ${port} }`,
    );
    services.push({ id: name, machine: 'pc2', ports: [port, 9500 + i], derived: [port + 1] });
  }
  files.set('config/groups/agents.yaml', `${lines.join('\n')}\n`);
}

/** Third dialect: modules in a flat list with defaults by anchor, included by the file of mainpc; some need a GPU. */
function modulesDialect(files: Map<string, string>, services: ExpectedService[]): void {
  const lines = ['defaults: &defaults', '  restart: always', '  env: { BASE: "8100" }', 'processes:'];
  for (let i = 0; i < 8; i++) {
    const name = `model_${'abcdefgh'[i]}`;
    const gpu = i < 4;
    files.set(`models/${name}/serve.py`, gpu ? 'from vllm import LLM\n' : 'import numpy\n');
    files.set(`models/${name}/requirements.txt`, gpu ? '# served\nvllm==0.12.0\n' : 'numpy>=2\nonnxruntime==1.23.0\n');
    lines.push(
      '  - <<: *defaults',
      `    id: ${name}`,
      `    module: models.${name}.serve`,
      `    args: [--port, "\${BASE}"]`,
      `    port: "\${BASE}+${i * 10}"`,
      ...(i === 3 ? ['    vram: 12GB'] : []),
    );
    services.push({
      id: `model-${'abcdefgh'[i]}`,
      machine: 'mainpc',
      ports: [8100 + i * 10],
      derived: [8101 + i * 10],
      ...(gpu ? { gpu: true as const } : {}),
    });
  }
  files.set('config/groups/models.yaml', `${lines.join('\n')}\n`);
}

function composeDialect(files: Map<string, string>, services: ExpectedService[]): void {
  files.set(
    'deploy/mainpc/compose.yaml',
    `services:
  cache:
    image: redis:8
    ports: ["127.0.0.1:6379:6379"]
    healthcheck: { test: [CMD, redis-cli, ping] }
  search:
    build: { context: ../../search }
    ports: ["8800:8000"]
    depends_on: { cache: { condition: service_healthy } }
  vision:
    image: made-up/vision:1
    ports: [{ target: 8000, published: "8810" }]
    deploy: { resources: { reservations: { devices: [{ driver: nvidia, count: 1, capabilities: [gpu] }] } } }
  debug-shell:
    image: made-up/shell:1
    profiles: [debug]
`,
  );
  files.set(
    'search/Dockerfile',
    `FROM python:3.13-slim AS build
RUN pip install uv
FROM python:3.13-slim
EXPOSE 8000
HEALTHCHECK CMD curl -f http://localhost:8000/ready
CMD ["python", "-m", "search.main"]
`,
  );
  files.set('search/main.py', 'print("search")\n');
  services.push(
    { id: 'cache', machine: 'mainpc', ports: [6379] },
    { id: 'search', machine: 'mainpc', ports: [8800], dependsOn: ['cache'] },
    { id: 'vision', machine: 'mainpc', ports: [8810], gpu: true },
    { id: 'debug-shell', machine: 'mainpc', ports: [], required: false },
  );
}

function manifests(files: Map<string, string>, services: ExpectedService[]): void {
  for (const [i, name] of ['feed-reader', 'mailer', 'scorer'].entries()) {
    const gpu = name === 'scorer';
    files.set(
      `k8s/${name}.yaml`,
      `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
spec:
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      nodeSelector: { kubernetes.io/hostname: pc2 }
      containers:
        - name: main
          image: made-up/${name}:1
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /ready, port: http } }
${gpu ? '          resources: { limits: { nvidia.com/gpu: 1 } }\n' : ''}---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec:
  type: NodePort
  selector: { app: ${name} }
  ports: [{ port: 80, targetPort: http, nodePort: ${30_080 + i} }]
`,
    );
    services.push({ id: name, machine: 'pc2', ports: [30_080 + i], ...(gpu ? { gpu: true as const } : {}) });
  }
}

function units(files: Map<string, string>, services: ExpectedService[]): void {
  for (const [i, name] of ['backup-watch', 'door-bell', 'clock-sync'].entries()) {
    files.set(
      `units/pc2/${name}.service`,
      `[Unit]
Description=Made up
${i > 0 ? 'Requires=backup-watch.service network.target\n' : ''}[Service]
Environment=PORT=${9700 + i * 10}
ExecStart=/usr/bin/python3 /srv/fleet/units/${name}.py \\
  --port \${PORT}
Restart=always
`,
    );
    services.push({
      id: name,
      machine: 'pc2',
      ports: [9700 + i * 10],
      derived: [9701 + i * 10],
      dependsOn: i > 0 ? ['backup-watch'] : [],
    });
  }
}

function images(files: Map<string, string>, services: ExpectedService[]): void {
  files.set(
    'tools/painter/Dockerfile',
    'FROM nvidia/cuda:12.8.0-runtime-ubuntu24.04\nEXPOSE 7860/tcp\nENTRYPOINT ["/opt/paint"]\n',
  );
  services.push({ id: 'painter', ports: [7860], gpu: true });
}

function migrations(files: Map<string, string>): Monorepo['workPackages'] {
  const packages: Array<Monorepo['workPackages'][number]> = [];
  for (let i = 1; i <= 12; i++) {
    const number = String(i).padStart(2, '0');
    const state = i <= 6 ? ('complete' as const) : i <= 10 ? ('partial' as const) : ('empty' as const);
    const machine = i % 2 === 0 ? 'pc2' : 'mainpc';
    const needs = i === 1 ? [] : [`WP-${String(i - 1).padStart(2, '0')}`];
    files.set(
      `migration/wp-${number}-step.sh`,
      `#!/usr/bin/env bash
# Moves part ${i} of the made-up fleet
# needs: ${needs.length > 0 ? `${needs[0]}, docker` : 'none'}
# machine: ${machine}
${state === 'empty' ? '' : 'echo "part of it"\n'}${state === 'partial' ? '# TODO stop the old one first\n' : ''}`,
    );
    packages.push({
      id: `wp-${number}-step`,
      state,
      machine,
      needs: i === 1 ? [] : [`wp-${String(i - 1).padStart(2, '0')}-step`, 'docker'],
    });
  }
  return packages;
}

/** What has a script, a path or a module, and is no service. */
function innocents(files: Map<string, string>): string[] {
  files.set(
    'config/logging.yaml',
    'version: 1\ndisable_existing_loggers: false\nhandlers:\n  file: { class: logging.FileHandler, path: /var/log/made-up.log, module: logging }\n',
  );
  files.set(
    'config/data.yaml',
    'datasets:\n  innocent_corpus: { path: data/corpus.jsonl }\n  innocent_weights: { path: weights/model.gguf, port: null }\n',
  );
  files.set(
    'config/permissions.yaml',
    'rules:\n  - { name: innocent_rule, module: billing }\n  - { name: innocent_page, path: /admin }\n',
  );
  files.set('.github/workflows/ci.yaml', 'on: push\njobs:\n  innocent_ci: { steps: [{ script: scripts/test.sh }] }\n');
  files.set('.gitlab-ci.yml', 'innocent_stage:\n  script: [make test]\n');
  files.set('ci/gitlab.yaml', 'stages: [test]\ninnocent_job:\n  script: [scripts/test.sh]\n');
  files.set('play/site.yaml', '- hosts: all\n  tasks:\n    - { name: innocent_task, script: scripts/setup.sh }\n');
  files.set('api/openapi.yaml', 'openapi: 3.1.0\npaths:\n  /innocent_path: { get: { script: x.py } }\n');
  files.set(
    'app/migrations/0001_innocent_table.py',
    'from django.db import migrations\n\nclass Migration(migrations.Migration):\n    pass\n',
  );
  files.set('db/migrations/001_innocent.sql', 'create table t (id int);\n');
  files.set('alembic/versions/migrate_innocent.py', 'revision = "1"\ndown_revision = None\n');
  files.set('config/switched.yaml', 'jobs:\n  innocent_off: { script: jobs/off.py, enabled: false }\n');
  files.set('examples/startup.yaml', 'services:\n  innocent_example: { script: demo.py, port: 1 }\n');
  files.set('tools/base/Dockerfile', 'FROM python:3.13-slim\nRUN pip install innocent\n');
  files.set(
    'charts/templates/innocent.yaml',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: {{ .Values.innocent }} }\n',
  );
  files.set('models/cpu-only/requirements.txt', '--index-url https://download.pytorch.org/whl/cpu\ntorch==2.9.0\n');
  return ['innocent', 'corpus', 'weights', 'logging', 'billing', 'admin', 'setup', 'base'];
}
