import type { FleetAction, FleetChange } from './fleet-changes.ts';

const signs: Record<FleetAction, string> = { create: '+', change: '~', retire: '-', revive: '^', keep: '=' };

/** Changes as a person reads them: agents with the same change share a line. */
export function fleetChangeLines(changes: readonly FleetChange[]): string[] {
  const groups = new Map<string, FleetChange[]>();
  for (const change of changes) {
    const key =
      change.kind === 'agent'
        ? JSON.stringify([change.action, archetypeOf(change.id), shownFields(change), change.note])
        : JSON.stringify([change.action, change.kind, change.id]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [change]);
    else group.push(change);
  }
  return [...groups.values()].map((group) => {
    const [first] = group;
    const { action, kind, note } = first!;
    const fields = shownFields(first!);
    const detail = [fields, note].filter((part) => part !== undefined && part !== '').join(' · ');
    return `${signs[action]} ${action} ${named(kind, group)}${detail === '' ? '' : `  ${detail}`}`;
  });
}

function named(kind: string, group: readonly FleetChange[]): string {
  const ids = group.map((change) => change.id);
  if (ids.length === 1) return `${kind} ${ids[0]}`;
  return `${ids.length} ${kind}s ${ids[0]} … ${ids.at(-1)}`;
}

/** New things are named, not spelt out; a persona that stays is only said to differ. */
function shownFields({ action, fields }: FleetChange): string {
  if (action === 'create') return '';
  if (action === 'keep') return fields.map(({ field }) => field).join(', ');
  return fields.map(({ field, from, to }) => `${field} ${shown(from)} → ${shown(to)}`).join(', ');
}

function shown(value: unknown): string {
  if (value === undefined) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function archetypeOf(agentId: string): string {
  return agentId.replace(/-\d+$/, '');
}
