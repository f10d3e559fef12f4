import type { Service } from './services.ts';

/** Dockerfile and compose files for services that have none: made of what the files say, to be read before they are used. */

/** Those that run as plain processes. */
export function bareServices(services: readonly Service[]): Service[] {
  return services.filter(({ kind, command = [] }) => (kind === 'process' || kind === 'unit') && command.length > 0);
}

/** One image for all of them that are Python. */
export function dockerfileLines(bare: readonly Service[]): string[] {
  const gpus = bare.some(({ gpu }) => gpu !== undefined);
  return [
    `FROM ${gpus ? 'nvidia/cuda:12.8.0-runtime-ubuntu24.04' : 'python:3.13-slim'}`,
    ...(gpus
      ? ['RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv python-is-python3']
      : []),
    // Debian and Ubuntu let pip install into an environment of its own only. A volume belongs to whom its folder belongs to.
    'RUN python3 -m venv /opt/venv && useradd --create-home app && mkdir /data && chown app /data',
    'ENV PATH=/opt/venv/bin:$PATH',
    'WORKDIR /app',
    'COPY . /app',
    `RUN find . -name requirements.txt -exec pip install --no-cache-dir -r {} ';'`,
    'USER app',
    'STOPSIGNAL SIGTERM',
  ];
}

export interface ComposePaths {
  build: string;
  envFile: string;
}

/** What a service needs and this file does not have is said beside it: compose refuses names that it does not know. */
export function composeLines(bare: readonly Service[], paths: ComposePaths): string[] {
  const here = new Set(bare.map(({ id }) => id));
  return [
    'services:',
    ...bare.flatMap((service) => composeOf(service, here, paths)),
    'volumes:',
    ...bare.map(({ id }) => `  ${volumeOf(id)}: {}`),
  ];
}

/** A scalar of YAML, whatever stands in it. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('$', '$$$$');
}

function containerOf(id: string): string {
  return id.replaceAll('@', '-on-');
}

function volumeOf(id: string): string {
  return `${containerOf(id)}-data`;
}

function composeOf(
  { id, command = [], workingDirectory, ports = [], healthCheck, dependsOn = [], gpu, required, machine }: Service,
  here: ReadonlySet<string>,
  { build, envFile }: ComposePaths,
): string[] {
  const check = healthCheck?.kind === 'http' ? `http://127.0.0.1:${healthCheck.port}${healthCheck.path}` : undefined;
  const published = ports.map(({ port, protocol }) => `"127.0.0.1:${port}:${port}${protocol === 'udp' ? '/udp' : ''}"`);
  const own = dependsOn.filter((other) => here.has(other));
  const elsewhere = dependsOn.filter((other) => !here.has(other));
  return [
    `  ${containerOf(id)}:`,
    ...(elsewhere.length === 0 ? [] : [`    # also needs, not in this file: ${elsewhere.join(', ')}`]),
    `    build: ${build}`,
    `    command: [${command.map(quoted).join(', ')}]`,
    ...(workingDirectory === undefined || workingDirectory === '.'
      ? []
      : [`    working_dir: ${quoted(`/app/${workingDirectory}`)}`]),
    `    restart: ${required === false ? 'on-failure' : 'unless-stopped'}`,
    '    stop_grace_period: 30s',
    // Read before it is used: how much is right, nothing of the repository says.
    `    mem_limit: ${gpu === undefined ? '2g' : '16g'} # to be measured`,
    `    env_file: [{ path: ${envFile}, required: false }]`,
    ...(machine === undefined ? [] : [`    labels: { machine: ${machine} }`]),
    ...(ports.length === 0 ? [] : [`    ports: [${[...new Set(published)].join(', ')}]`]),
    `    volumes: ["${volumeOf(id)}:/data"]`,
    ...(own.length === 0 ? [] : [`    depends_on: [${own.map(containerOf).join(', ')}]`]),
    ...(check === undefined
      ? []
      : [
          `    healthcheck: { test: [CMD, python3, -c, ${quoted(`import urllib.request; urllib.request.urlopen("${check}", timeout=3)`)}], interval: 30s, timeout: 5s }`,
        ]),
    ...(gpu === undefined
      ? []
      : [
          '    deploy: { resources: { reservations: { devices: [{ driver: nvidia, count: 1, capabilities: [gpu] }] } } }',
        ]),
  ];
}
