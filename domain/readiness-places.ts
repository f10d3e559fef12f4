import { type Finding, finding } from './readiness.ts';
import type { Inventory, InventoryPackage } from './readiness-inventory.ts';
import { circlesOf } from './readiness-circles.ts';
import { plainHost } from './readiness-containers.ts';
import type { Service } from './services.ts';

export function assessPackages({ workPackages }: Inventory): Finding[] {
  const byId = new Map(workPackages.map((each) => [each.id, each]));
  const needed = ({ needs = [] }: InventoryPackage) => needs.flatMap((need) => byId.get(need) ?? []);
  const circles = circlesOf(new Map(workPackages.map((each) => [each.id, needed(each).map(({ id }) => id)])));
  return [
    ...circles.map((circle) =>
      finding('package-cycle', {
        subject: circle.toSorted().join(' '),
        place: byId.get(circle[0]!)!.source,
        evidence: [...circle, circle[0]].join(' → '),
      }),
    ),
    ...workPackages.flatMap((each) => [
      ...needsOf(each, byId),
      ...stateOf(each),
      ...(each.completeness.state !== 'complete' ? [] : tooEarly(each, needed(each))),
      ...(each.undo || each.completeness.state === 'empty'
        ? []
        : [
            finding('package-without-undo', {
              subject: each.id,
              place: each.source,
              evidence: `${each.script} speaks of no undo, rollback or revert`,
            }),
          ]),
    ]),
  ];
}

/** Only what is named like a package is one; `docker` is whatever the script needs besides. */
function needsOf(each: InventoryPackage, byId: ReadonlyMap<string, InventoryPackage>): Finding[] {
  return (each.needs ?? [])
    .filter((need) => !byId.has(need) && /^(wp|work[-_ ]?package)[-_ ]?\d/i.test(need))
    .map((need) =>
      finding('package-need-missing', {
        subject: `${each.id} ${need}`,
        place: each.source,
        evidence: `${each.id} needs ${need}, and no script is it`,
      }),
    );
}

function stateOf({ id, source, completeness, script }: InventoryPackage): Finding[] {
  if (completeness.state === 'complete') return [];
  if (completeness.state === 'empty')
    return [finding('package-empty', { subject: id, place: source, evidence: `${script} has no step` })];
  const percent = completeness.percent === undefined ? '' : `${completeness.percent} %; `;
  const open = completeness.open ?? [];
  return [
    finding('package-incomplete', {
      subject: id,
      place: source,
      evidence: `${percent}${open.slice(0, 5).join('; ')}${open.length > 5 ? ` and ${open.length - 5} more` : ''}`,
    }),
  ];
}

function tooEarly(each: InventoryPackage, needed: readonly InventoryPackage[]): Finding[] {
  const open = needed.filter(({ completeness }) => completeness.state !== 'complete');
  if (open.length === 0) return [];
  return [
    finding('package-too-early', {
      subject: each.id,
      place: each.source,
      evidence: `${each.id} is complete, ${open.map(({ id, completeness }) => `${id} ${completeness.state}`).join(', ')}`,
    }),
  ];
}

export function assessDistribution({ services, machines }: Inventory): Finding[] {
  const byId = new Map(services.map((service) => [service.id, service]));
  const circles = circlesOf(new Map(services.map(({ id, dependsOn = [] }) => [id, dependsOn])));
  return [
    ...circles.map((circle) =>
      finding('dependency-cycle', {
        subject: circle.toSorted().join(' '),
        place: byId.get(circle[0]!)?.source,
        evidence: [...circle, circle[0]].join(' → '),
      }),
    ),
    ...services.flatMap((service) => [
      ...machineOf(service, machines),
      ...outOfReach(service, byId),
      ...gpuOf(service, machines),
    ]),
  ];
}

function machineOf(service: Service, machines: Inventory['machines']): Finding[] {
  const unknown = (service.unresolved ?? []).flatMap((said) => {
    const found = /^its machine (.+) is not in fleet\.yaml/.exec(said);
    return found ? [found[1]!] : [];
  })[0];
  if (unknown !== undefined)
    return [
      finding('machine-unknown', {
        subject: service.id,
        place: service.source,
        evidence: `${unknown} is none of ${machines.map(({ id }) => id).join(', ')}`,
      }),
    ];
  if (service.machine !== undefined || machines.length < 2) return [];
  return [
    finding('machine-unnamed', {
      subject: service.id,
      place: service.source,
      evidence: `the fleet has ${machines.map(({ id }) => id).join(', ')}`,
    }),
  ];
}

/** All of whose ports are its own host's, asked from another. */
function outOfReach(service: Service, byId: ReadonlyMap<string, Service>): Finding[] {
  return (service.dependsOn ?? []).flatMap((name) => {
    const other = byId.get(name);
    const ports = other?.ports ?? [];
    if (
      other === undefined ||
      other.machine === undefined ||
      service.machine === undefined ||
      other.machine === service.machine ||
      ports.length === 0 ||
      !ports.every(({ address }) => plainHost(address))
    )
      return [];
    return [
      finding('dependency-out-of-reach', {
        subject: `${service.id} ${other.id}`,
        place: service.source,
        evidence: `${service.id} is on ${service.machine}; ${other.id} listens on ${ports[0]!.address} of ${other.machine} (${other.source})`,
      }),
    ];
  });
}

function gpuOf(service: Service, machines: Inventory['machines']): Finding[] {
  const machine = machines.find(({ id }) => id === service.machine);
  if (service.gpu === undefined || machine === undefined || machine.vramGiB.length > 0) return [];
  return [
    finding('gpu-where-none-is', {
      subject: service.id,
      place: service.source,
      evidence: `${machine.id} has no GPU in fleet.yaml; ${service.gpu.because.join(', ')}`,
    }),
  ];
}
