import { type ServicePort, slugOf } from '../../domain/services.ts';
import { entry, type Located, type LocatedMap, scalarText, textAt, textsOf } from './located-yaml.ts';
import {
  type FoundHealth,
  type FoundService,
  type ImportFile,
  place,
  type Reader,
  type ReadingContext,
} from './reader.ts';
import { environmentOf } from './startup-files.ts';
import { createExpander, type Expander, scriptOfCommand } from './values.ts';

const workloads = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob', 'Pod'];

/** Deployments and the like, one service a container; what a Service or a node publishes is known from the same files. */
export const kubernetesManifests: Reader = {
  takes: ({ documents }) =>
    documents?.some(
      (document) => textAt(document, 'apiVersion') !== undefined && textAt(document, 'kind') !== undefined,
    ) === true,
  read(file, context) {
    const objects = (file.documents ?? []).flatMap(objectsOf);
    return { services: objects.flatMap((object) => servicesOf(object, objects, file, context)) };
  },
};

function objectsOf(document: Located): LocatedMap[] {
  const items = textAt(document, 'kind') === 'List' ? entry(document, 'items')?.value : undefined;
  const objects = items?.kind === 'list' ? items.items : [document];
  return objects.filter((object) => object.kind === 'map');
}

function servicesOf(
  object: LocatedMap,
  all: readonly LocatedMap[],
  file: ImportFile,
  context: ReadingContext,
): FoundService[] {
  const kind = textAt(object, 'kind') ?? '';
  if (!workloads.includes(kind)) return [];
  const metadata = entry(object, 'metadata');
  const named = entry(metadata?.value, 'name');
  const name = textAt(metadata?.value, 'name') ?? textAt(metadata?.value, 'generateName');
  const pod = podOf(object, kind);
  const containers = entry(pod, 'containers')?.value;
  if (name === undefined || containers?.kind !== 'list') return [];
  const labels = environmentOf(entry(podLabels(object, kind), 'labels')?.value);
  const host = textAt(entry(pod, 'nodeSelector')?.value, 'kubernetes.io/hostname') ?? textAt(pod, 'nodeName');
  const hostNetwork = textAt(pod, 'hostNetwork') === 'true';
  const replicas = textAt(entry(object, 'spec')?.value, 'replicas');
  return containers.items.flatMap((container, i) => {
    if (container.kind !== 'map') return [];
    const line = i === 0 ? (named?.line ?? object.line) : container.line;
    const at = place(file.name, line);
    const machine = host ?? context.machine;
    const own = environmentOf(undefined);
    const expander = createExpander(context.variables({ machine, own }));
    // What stands in a manifest is as it is; only `$(NAME)` is filled in, by the cluster.
    const words = expander.words(
      [...textsOf(entry(container, 'command')?.value), ...textsOf(entry(container, 'args')?.value)],
      at,
    );
    const declared = containerPorts(container, expander, file.name);
    const ports = outsidePorts(declared, { all, labels, hostNetwork });
    return [
      {
        name: i === 0 ? name : `${name}-${textAt(container, 'name') ?? i + 1}`,
        file: file.name,
        line,
        kind: 'pod' as const,
        machine,
        ...(words.length === 0 ? {} : { command: words }),
        image: textAt(container, 'image'),
        script: scriptOfCommand(words, { file: file.name, has: context.has }),
        ports,
        health: probeOf(container, declared, ports),
        dependsOn: [],
        required: replicas !== '0' && !kind.endsWith('Job'),
        gpu: gpuOf(container, at),
        unresolved: expander.unresolved,
      },
    ];
  });
}

function podOf(object: LocatedMap, kind: string): Located | undefined {
  const spec = entry(object, 'spec')?.value;
  if (kind === 'Pod') return spec;
  const inner = kind === 'CronJob' ? entry(entry(spec, 'jobTemplate')?.value, 'spec')?.value : spec;
  return entry(entry(inner, 'template')?.value, 'spec')?.value;
}

function podLabels(object: LocatedMap, kind: string): Located | undefined {
  if (kind === 'Pod') return entry(object, 'metadata')?.value;
  return entry(entry(entry(object, 'spec')?.value, 'template')?.value, 'metadata')?.value;
}

interface ContainerPort {
  name: string | undefined;
  inner: number;
  hostPort: number | undefined;
  protocol: string | undefined;
}

function containerPorts(container: Located, expander: Expander, file: string): ContainerPort[] {
  const listed = entry(container, 'ports')?.value;
  return (listed?.kind === 'list' ? listed.items : []).flatMap((item) => {
    const at = place(file, item.line);
    const number = textAt(item, 'containerPort');
    const host = textAt(item, 'hostPort');
    const inner = number === undefined ? undefined : expander.port(number, 'a container port', at);
    const hostPort = host === undefined ? undefined : expander.port(host, 'a host port', at);
    return inner === undefined
      ? []
      : [{ name: textAt(item, 'name'), inner, hostPort, protocol: textAt(item, 'protocol') }];
  });
}

/** Of the ports of a container those that the node itself listens on: by the host's network, a host port or a NodePort. */
function outsidePorts(
  declared: readonly ContainerPort[],
  {
    all,
    labels,
    hostNetwork,
  }: { all: readonly LocatedMap[]; labels: ReadonlyMap<string, string>; hostNetwork: boolean },
): ServicePort[] {
  const ports: ServicePort[] = [];
  for (const { name, inner, hostPort, protocol } of declared) {
    const outside = hostNetwork ? inner : (hostPort ?? nodePort(all, labels, { name, inner }));
    if (outside === undefined) continue;
    const slug = ports.length === 0 ? 'main' : (slugOf(name ?? '') ?? `port-${inner}`);
    ports.push({
      name: ports.some((other) => other.name === slug) ? `${slug}-${inner}` : slug,
      port: outside,
      ...(protocol === 'UDP' ? { protocol: 'udp' as const } : {}),
      ...(outside === inner ? {} : { containerPort: inner }),
    });
  }
  return ports;
}

function nodePort(
  all: readonly LocatedMap[],
  labels: ReadonlyMap<string, string>,
  port: { name: string | undefined; inner: number },
) {
  for (const object of all) {
    if (textAt(object, 'kind') !== 'Service') continue;
    const spec = entry(object, 'spec')?.value;
    const selector = environmentOf(entry(spec, 'selector')?.value);
    if (selector.size === 0 || [...selector].some(([key, value]) => labels.get(key) !== value)) continue;
    const listed = entry(spec, 'ports')?.value;
    for (const item of listed?.kind === 'list' ? listed.items : []) {
      const target = textAt(item, 'targetPort') ?? textAt(item, 'port');
      const outside = Number(textAt(item, 'nodePort'));
      if ((target === port.name || target === String(port.inner)) && outside >= 1 && outside <= 65_535) return outside;
    }
  }
  return undefined;
}

function probeOf(
  container: Located,
  declared: readonly ContainerPort[],
  ports: readonly ServicePort[],
): FoundHealth | undefined {
  const probe = entry(container, 'readinessProbe', 'livenessProbe', 'startupProbe')?.value;
  const command = textsOf(entry(entry(probe, 'exec')?.value, 'command')?.value);
  if (command.length > 0) return { kind: 'command', command };
  const asked = entry(probe, 'httpGet', 'tcpSocket', 'grpc');
  const wanted = textAt(asked?.value, 'port');
  if (wanted === undefined) return undefined;
  const inner = declared.find((port) => port.name === wanted)?.inner ?? Number(wanted);
  const port = ports.find((other) => (other.containerPort ?? other.port) === inner)?.port;
  // Asked by the cluster itself where nothing of it can be reached from outside.
  if (port === undefined) return undefined;
  const path = textAt(asked!.value, 'path') ?? '/';
  return entry(probe, 'httpGet') === undefined
    ? { kind: 'tcp', port }
    : { kind: 'http', port, path: path.startsWith('/') ? path : `/${path}` };
}

function gpuOf(container: Located, at: string): FoundService['gpu'] {
  const resources = entry(container, 'resources')?.value;
  for (const part of ['limits', 'requests']) {
    const amounts = entry(resources, part)?.value;
    if (amounts?.kind !== 'map') continue;
    for (const [name, { value }] of amounts.entries) {
      const amount = value.kind === 'scalar' ? scalarText(value) : '';
      if (/^(nvidia\.com\/(gpu|mig-)|amd\.com\/gpu)/.test(name) && amount !== '0')
        return { because: [`it asks for ${name} (${at})`] };
    }
  }
  return undefined;
}
