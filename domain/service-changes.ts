import { changed, differences, type FleetChange } from './fleet-changes.ts';
import type { ParsedServices, ServiceSpec } from './services.ts';

/** All files of fleet.d/ as one. */
export type ServicesTogether = Pick<ParsedServices, 'portRules' | 'services' | 'workPackages'>;

export function servicesTogether(files: readonly ParsedServices[]): ServicesTogether {
  return {
    portRules: files.flatMap(({ portRules }) => portRules),
    services: files.flatMap(({ services }) => services),
    workPackages: files.flatMap(({ workPackages }) => workPackages),
  };
}

export interface KnownService {
  id: string;
  spec: ServiceSpec;
  retired: boolean;
}

/**
 * What an apply of fleet.d/ changes. Services are held against their rows, the rest against the files that were applied last.
 * @param before undefined where those cannot be read any more
 */
export function serviceChanges(
  before: ServicesTogether | undefined,
  next: ServicesTogether,
  known: readonly KnownService[],
): FleetChange[] {
  const rows = new Map(known.map((service) => [service.id, service]));
  const named = new Set(next.services.map(({ id }) => id));
  const packagesBefore = new Map((before?.workPackages ?? []).map((each) => [each.id, each]));
  const packages = new Set(next.workPackages.map(({ id }) => id));
  const rulesBefore = before?.portRules ?? [];
  return [
    ...next.services.flatMap((service) => serviceChange(service, rows.get(service.id))),
    ...known
      .filter(({ id, retired }) => !retired && !named.has(id))
      .map(({ id }) => retired('service', id, 'is watched and placed no more; named again, it comes back')),
    ...(rulesBefore.length + next.portRules.length === 0
      ? []
      : changed('setting', 'portRules', byName(rulesBefore), byName(next.portRules), rulesBefore.length > 0)),
    ...next.workPackages.flatMap((each) =>
      changed('work_package', each.id, packagesBefore.get(each.id), each, packagesBefore.has(each.id)),
    ),
    ...[...packagesBefore.keys()].filter((id) => !packages.has(id)).map((id) => retired('work_package', id)),
  ];
}

function serviceChange(service: ServiceSpec, row: KnownService | undefined): FleetChange[] {
  if (row === undefined) return changed('service', service.id, undefined, service, false);
  const fields = differences(row.spec, service);
  if (row.retired) return [{ action: 'revive', kind: 'service', id: service.id, fields }];
  return fields.length === 0 ? [] : [{ action: 'change', kind: 'service', id: service.id, fields }];
}

function retired(kind: FleetChange['kind'], id: string, note?: string): FleetChange {
  return { action: 'retire', kind, id, fields: [], ...(note === undefined ? {} : { note }) };
}

/** One name may have several rules, each to another port. */
function byName(rules: ServicesTogether['portRules']): Record<string, unknown> {
  return Object.fromEntries(rules.map((rule) => [`${rule.name} to ${rule.to}`, rule]));
}
