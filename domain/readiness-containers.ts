import { assessPorts } from './readiness-ports.ts';
import { type Finding, finding } from './readiness.ts';
import type { ContainerFacts, ImageFacts, Inventory, UnitFacts } from './readiness-inventory.ts';
import type { Service } from './services.ts';

/** Whether an address is of its own host alone. */
export function plainHost(address: string | undefined): boolean {
  return address !== undefined && /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/i.test(address);
}

/** The service that a compose file, Dockerfile or unit describes, by its place. */
export function servicesByPlace(services: readonly Service[]): Map<string, Service> {
  return new Map(
    services.flatMap((service) => [
      ...(service.alsoIn ?? []).map((place) => [place, service] as const),
      [service.source, service] as const,
    ]),
  );
}

export function assessContainers(inventory: Inventory): Finding[] {
  const { containers, images, units, services } = inventory;
  const byPlace = servicesByPlace(services);
  const imageOf = (dockerfile: string | null) => images.find(({ file }) => file === dockerfile);
  return [
    ...assessPorts(inventory),
    ...containers.flatMap((container) => ofContainer(container, imageOf(container.dockerfile), byPlace)),
    ...images.flatMap((image) => ofImage(image, containers)),
    ...units.flatMap(ofUnit),
    ...services.flatMap((service) => healthOf(service, inventory)),
  ];
}

function ofContainer(
  { name, place, image, restart, required }: ContainerFacts,
  built: ImageFacts | undefined,
  byPlace: ReadonlyMap<string, Service>,
): Finding[] {
  const subject = byPlace.get(place)?.id ?? name;
  const found: Finding[] = [];
  if (image !== null && built === undefined && isUnpinned(image))
    found.push(
      finding('image-unpinned', { subject, place, evidence: `${image}: whatever is newest when it is pulled` }),
    );
  if (required && (restart === null || restart === 'no'))
    found.push(
      finding('restart-missing', { subject, place, evidence: restart === null ? 'no `restart`' : '`restart: no`' }),
    );
  return found;
}

/** No tag, or one that moves. A variable may hold anything. */
function isUnpinned(image: string): boolean {
  if (image.includes('@sha256:') || image.includes('$') || image === 'scratch') return false;
  const tag = /:([\w][\w.-]*)$/.exec(image.split('/').at(-1)!)?.[1];
  return tag === undefined || /^(latest|main|master|nightly|edge|stable|dev)$/.test(tag);
}

function ofImage(image: ImageFacts, containers: readonly ContainerFacts[]): Finding[] {
  const { file, line, base, user, runs } = image;
  const place = `${file}:${line}`;
  const found: Finding[] = [];
  if (isUnpinned(base))
    found.push(finding('image-unpinned', { subject: file, place, evidence: `it is built from ${base}` }));
  const users = containers.filter(({ dockerfile }) => dockerfile === file);
  // Compose may give it another user than root.
  const elsewhere = users.length > 0 && users.every(({ user: own }) => own !== null && !isRoot(own));
  if (runs && !elsewhere && (user === null ? !/nonroot|rootless/.test(base) : isRoot(user)))
    found.push(
      finding('image-as-root', { subject: file, place, evidence: user === null ? 'no `USER`' : `\`USER ${user}\`` }),
    );
  return found;
}

function isRoot(user: string): boolean {
  return /^(root|0)(:|$)/.test(user);
}

function ofUnit({ name, place, restart }: UnitFacts): Finding[] {
  if (restart !== null && restart !== 'no') return [];
  return [
    finding('restart-missing', {
      subject: name,
      place,
      evidence: restart === null ? 'no `Restart=`' : '`Restart=no`',
    }),
  ];
}

/** A port of that name counts: whoever starts the service knows where to ask. */
function healthOf(service: Service, { containers, images }: Inventory): Finding[] {
  const ports = service.ports ?? [];
  const places = [service.source, ...(service.alsoIn ?? [])];
  const facts = containers.filter(({ place }) => places.includes(place));
  const image = images.find(
    ({ file }) => facts.some(({ dockerfile }) => dockerfile === file) || places.some((at) => at.startsWith(`${file}:`)),
  );
  const off = facts.some(({ healthCheck }) => healthCheck === 'off');
  if (
    ports.length === 0 ||
    service.required === false ||
    (!off &&
      (service.healthCheck !== undefined ||
        ports.some(({ name }) => name === 'health') ||
        image?.healthCheck === true ||
        facts.some(({ healthCheck }) => healthCheck === 'own')))
  )
    return [];
  return [
    finding('health-check-missing', {
      subject: service.id,
      place: service.source,
      evidence: off ? 'its health check is switched off' : `it listens at ${ports.map(({ port }) => port).join(', ')}`,
    }),
  ];
}
