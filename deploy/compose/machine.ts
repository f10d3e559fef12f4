import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { workerMetricsPorts } from '../../domain/metrics-ports.ts';
import type { PublishedPort } from './compose-service.ts';
import { clientEnvironment, type Parts, payloadEnvironment, serverHosts, volumesPart } from './coordination.ts';
import { imageOf, ownImage } from './images.ts';
import { modelServerPort } from './model-server.ts';

/** Of which other machines the kit shows what they open: to themselves alone. */
function machinePorts(machine: FleetMachine): PublishedPort[] {
  const port = modelServerPort(machine);
  return port === undefined
    ? []
    : [
        {
          port,
          containerPort: 11_434,
          address: '127.0.0.1',
          reason: 'the model server, for the worker of the same host',
        },
      ];
}

/** Whose version of the workflows is the current one: the machine that is upgraded first, or the first that takes workflows at all. */
export function leadsVersion({ fleet, coordination }: DeploySite, machine: FleetMachine): boolean {
  const takers = fleet.machines.filter(({ roles }) => roles.coordination !== undefined);
  return machine.id === (takers.find(({ id }) => id === coordination.id) ?? takers[0])?.id;
}

/**
 * What every machine runs: its worker, its model server, what tells of it. All of it dials out. It shares the host's network, since
 * the worker looks for its model server and its figures at 127.0.0.1, as without Docker.
 * @param leads whether its version of the workflows is the current one
 */
export function machineParts(site: DeploySite, machine: FleetMachine, leads = leadsVersion(site, machine)): Parts {
  const { id, gpus } = machine;
  const { own, core } = workerMetricsPorts(site.fleet, id);
  const self = (port: number, reason: string): PublishedPort => ({ port, address: '127.0.0.1', reason });
  // A machine that is simulated calls nothing, so it needs no card either.
  const hasCards = gpus.length > 0 && machine.modelServer?.url !== undefined;
  const ports = machinePorts(machine);
  const tls = [`${id}.crt`, `${id}.key`, 'ca.crt'];
  const isCoordination = id === site.coordination.id;
  return {
    // On the coordinating machine it does the same for more volumes.
    ...(isCoordination ? {} : { volumes: volumesPart(['worker']) }),
    worker: {
      image: ownImage,
      command: ['node', 'workers/main.ts', '--machine', id],
      environment: {
        ...clientEnvironment(site, id),
        SOULFRA_HOST_NAME: machine.host ?? id,
        SOULFRA_WORKER_VERSION: leads ? 'leads' : 'follows',
        SOULFRA_WEBHOOK_KEY_FILE: '/run/secrets/webhook_key',
        ...payloadEnvironment(site, '/run/secrets/payload_keys'),
        SOULFRA_MAILBOX: '/var/lib/soulfra/mail',
        SOULFRA_PUBLIC_URL: `https://${site.host}:${site.ports.https}`,
      },
      secrets: ['database_url', 'redis_url', 'webhook_key', 'payload_keys'],
      tls,
      volumes: ['worker:/var/lib/soulfra'],
      hostNetwork: true,
      listens: site.fleet.metrics.enabled
        ? [
            self(own, 'figures of the worker, for the collector of the same host'),
            self(core, 'figures of Temporal Core in the worker, for the collector of the same host'),
          ]
        : [],
      extraHosts: serverHosts(site),
      after: {
        volumes: 'service_completed_successfully',
        ...(isCoordination ? { 'first-fleet': 'service_completed_successfully' as const } : {}),
        ...(ports.length > 0 ? { 'model-server': 'service_healthy' as const } : {}),
      },
      // Ready is who holds a lease: its figures come up with its worker, once a fleet is applied.
      ...(site.fleet.metrics.enabled
        ? {
            health: {
              test: [
                'CMD',
                'node',
                '-e',
                `fetch('http://127.0.0.1:${own}/metrics').then((a) => a.text()).then((t) => process.exit(/^soulfra_lease_renewals_total\\{[^}]*outcome="renewed"[^}]*\\} [1-9]/m.test(t) ? 0 : 1), () => process.exit(1))`,
              ],
              startPeriod: '2m',
            },
          }
        : {}),
      ...(hasCards ? { gpus: true } : {}),
      memory: '6g',
      cpus: 'host',
      // Over the worker's own time for calls in hand.
      grace: '90s',
    },
    ...(ports.length === 0
      ? {}
      : {
          'model-server': {
            image: imageOf('modelServer'),
            user: 'root:root',
            environment: { OLLAMA_KEEP_ALIVE: '-1', OLLAMA_HOST: '0.0.0.0:11434' },
            volumes: ['models:/root/.ollama'],
            ports,
            health: { test: ['CMD', 'ollama', 'list'], startPeriod: '1m' },
            gpus: true,
            memory: '48g',
            cpus: 'host',
          },
        }),
    collector: {
      image: imageOf('collector'),
      // Lines of containers are readable by root alone.
      user: 'root:root',
      capabilities: ['DAC_READ_SEARCH'],
      command: [
        'run',
        '/etc/soulfra/collector.alloy',
        '--server.http.listen-addr=127.0.0.1:12345',
        '--storage.path=/var/lib/alloy',
        '--disable-reporting',
      ],
      volumes: [
        `./config/collector-${id}.alloy:/etc/soulfra/collector.alloy:ro`,
        '${DOCKER_ROOT:-/var/lib/docker}/containers:/var/lib/docker/containers:ro',
        'collector:/var/lib/alloy',
      ],
      tls,
      hostNetwork: true,
      listens: [self(12_345, 'the collector’s own page')],
      profiles: ['observability'],
      memory: '512m',
      cpus: 1,
    },
    'node-exporter': {
      image: imageOf('nodeExporter'),
      command: ['--path.rootfs=/host', '--web.listen-address=127.0.0.1:9100'],
      volumes: ['/:/host:ro,rslave'],
      hostNetwork: true,
      listens: [self(9100, 'figures of the host, for the collector of the same host')],
      profiles: ['observability'],
      memory: '128m',
      cpus: 0.5,
    },
    ...(!hasCards
      ? {}
      : {
          'gpu-exporter': {
            image: imageOf('gpuExporter'),
            command: ['--web.listen-address=127.0.0.1:9835'],
            hostNetwork: true,
            listens: [self(9835, 'figures of the cards, for the collector of the same host')],
            gpus: true,
            profiles: ['observability'],
            memory: '128m',
            cpus: 0.5,
          },
        }),
  };
}
