import { type Fleet, type FleetAgent, fleetAgents } from './fleet.ts';
import { reflectScheduleId } from './ids.ts';
import { type Persona, personaOf } from './personas.ts';
import type { AgentOrigin, AgentState } from './states.ts';

/**
 * What an apply would do. Nothing is ever deleted: what the file no longer names is retired and keeps all it has, and comes
 * back as it was when it is named again. `keep` tells of a wish of the file that the database does not follow.
 */
export const fleetActions = ['create', 'change', 'retire', 'revive', 'keep'] as const;
export type FleetAction = (typeof fleetActions)[number];
export const fleetKinds = [
  'fleet',
  'machine',
  'model',
  'agent',
  'schedule',
  'source',
  'setting',
  'service',
  'work_package',
] as const;
export type FleetKind = (typeof fleetKinds)[number];

export interface FieldChange {
  /** Dotted path inside the thing. */
  field: string;
  from?: unknown;
  to?: unknown;
}

export interface FleetChange {
  action: FleetAction;
  kind: FleetKind;
  id: string;
  fields: FieldChange[];
  note?: string;
}

/** The part of an agent's row that the file speaks of. */
export interface LivingAgent {
  id: string;
  archetype: string;
  origin: AgentOrigin;
  state: AgentState;
  /** The file revives only what the file has retired. */
  retiredBy: 'file' | 'operator' | null;
  name: string;
  persona: string;
  traits: readonly string[];
  maskSeed: number;
  cadence: string;
  modelId: string;
  leastClass: string;
  mayDegrade: boolean;
  priority: number;
  tokensPerDay: number;
  expectedTokens: number;
  importanceThreshold: number;
}

type Listed = 'version' | 'name' | 'machines' | 'models' | 'archetypes' | 'agents' | 'schedules' | 'sources';
/** Parts of the file that are single blocks. One that is missing here does not compile: an apply would leave it out unseen. */
const settings = Object.keys({
  backup: true,
  deploy: true,
  embeddings: true,
  ego: true,
  ballots: true,
  spawning: true,
  market: true,
  limits: true,
  people: true,
  guilds: true,
  webhooks: true,
  drops: true,
  notify: true,
  talk: true,
  gateway: true,
  budgets: true,
  threads: true,
  drift: true,
  clusters: true,
  metrics: true,
  traces: true,
  mirror: true,
  retention: true,
} satisfies Record<Exclude<keyof Fleet, Listed>, true>) as Exclude<keyof Fleet, Listed>[];

/**
 * What an apply of `next` changes; agents born outside the file are none of its business.
 * Order of the parts: machines and models first, since agents lean on them. Without `previous` it is the first apply.
 */
export function fleetChanges(previous: Fleet | undefined, next: Fleet, living: readonly LivingAgent[]): FleetChange[] {
  const before = previous ?? { machines: [], models: [], sources: [] };
  return [
    ...changed('fleet', 'fleet', { name: previous?.name }, { name: next.name }, previous !== undefined),
    ...listed('machine', before.machines, next.machines),
    ...listed('model', before.models, next.models),
    ...listed('source', before.sources, next.sources),
    ...scheduleChanges(previous, next, living),
    ...settings
      .filter((part) => (previous?.[part] ?? next[part]) !== undefined)
      .flatMap((part) => changed('setting', part, previous?.[part], next[part] ?? {}, previous !== undefined)),
    ...memoryLimitChanges(previous, next),
    ...agentChanges(previous, next, living),
  ];
}

/** What the file says of an agent's work, as its row holds it; all but `expectedTokens` also of one that lives already. */
export function fileOwned(agent: FleetAgent) {
  return {
    cadence: agent.cadence,
    modelId: agent.model,
    leastClass: agent.leastClass,
    mayDegrade: agent.mayDegrade,
    priority: agent.priority,
    tokensPerDay: agent.tokensPerDay,
    expectedTokens: agent.expectedTokens,
    importanceThreshold: agent.importanceThreshold,
  };
}

/** Lives, and fleet.yaml did not give birth to it: its demand counts, and the file does not speak of it. */
export function bornOutside(agent: Pick<LivingAgent, 'origin' | 'state'>): boolean {
  return agent.origin !== 'fleet' && agent.state !== 'retired';
}

function agentChanges(previous: Fleet | undefined, next: Fleet, living: readonly LivingAgent[]): FleetChange[] {
  const rows = new Map(living.map((agent) => [agent.id, agent]));
  const births = new Map(previous === undefined ? [] : fleetAgents(previous).map((agent) => [agent.id, agent]));
  const wanted = fleetAgents(next);
  const named = new Set(wanted.map((agent) => agent.id));
  const changes = wanted.flatMap((agent) => agentChange(agent, rows.get(agent.id), births.get(agent.id)));
  const gone = living.filter((agent) => agent.origin === 'fleet' && agent.state !== 'retired' && !named.has(agent.id));
  return [
    ...changes,
    ...gone.map(
      ({ id }): FleetChange => ({
        action: 'retire',
        kind: 'agent',
        id,
        fields: [],
        note: 'keeps its persona, memories and reflections; named again, it lives on',
      }),
    ),
  ];
}

function agentChange(agent: FleetAgent, row: LivingAgent | undefined, birth: FleetAgent | undefined): FleetChange[] {
  const { id } = agent;
  const owned = fileOwned(agent);
  if (row === undefined) {
    const fields = differences({}, { name: personaOf(agent).name, archetype: agent.archetype.id, ...owned });
    return [{ action: 'create', kind: 'agent', id, fields }];
  }
  const { expectedTokens: _, ...followed } = owned;
  const fields = differences(pickOf(row, followed), followed);
  const revived = row.retiredBy === 'file';
  const changes: FleetChange[] = [];
  if (revived) {
    changes.push({
      action: 'revive',
      kind: 'agent',
      id,
      fields,
      note: 'lives on with the persona and memories it had',
    });
  } else if (fields.length > 0) changes.push({ action: 'change', kind: 'agent', id, fields });
  const unfollowed = birth === undefined ? [] : differences(bornAs(birth), bornAs(agent));
  if (unfollowed.length > 0) {
    const note = 'born already: the database owns its persona and what its runs take; agents born later get the new';
    changes.push({ action: 'keep', kind: 'agent', id, fields: unfollowed, note });
  }
  return changes;
}

/** What an agent is given once, at birth; what its runs are expected to take is learned from then on. */
function bornAs(agent: FleetAgent): Persona & { expectedTokens: number } {
  return { ...personaOf(agent), expectedTokens: agent.expectedTokens };
}

/** No agent's row holds its limit of memories: the file alone says it, of archetypes and of single agents. */
function memoryLimitChanges(previous: Fleet | undefined, next: Fleet): FleetChange[] {
  const given = ({ archetypes, agents }: Pick<Fleet, 'archetypes' | 'agents'>) =>
    Object.fromEntries(
      [...archetypes, ...Object.entries(agents).map(([id, agent]) => ({ id, ...agent }))].flatMap((each) =>
        each.memoriesPerAgent === undefined ? [] : [[each.id, each.memoriesPerAgent]],
      ),
    );
  return previous === undefined ? [] : changed('setting', 'memoriesPerAgent', given(previous), given(next), true);
}

function scheduleChanges(previous: Fleet | undefined, next: Fleet, living: readonly LivingAgent[]): FleetChange[] {
  // A cadence that an agent born outside the file has keeps its Schedule.
  const kept = living.filter(bornOutside).map((agent) => agent.cadence);
  const cadencesOf = (fleet: Fleet) => [...fleetAgents(fleet).map((agent) => agent.cadence), ...kept];
  const before = new Set(previous === undefined ? [] : cadencesOf(previous));
  const after = new Set(cadencesOf(next));
  const schedule = (action: FleetAction, cadence: string): FleetChange => ({
    action,
    kind: 'schedule',
    id: reflectScheduleId(cadence),
    fields: [],
  });
  return [
    ...[...after].filter((cadence) => !before.has(cadence)).map((cadence) => schedule('create', cadence)),
    ...[...before].filter((cadence) => !after.has(cadence)).map((cadence) => schedule('retire', cadence)),
    ...changed('schedule', 'schedules', previous?.schedules, next.schedules, previous !== undefined),
  ];
}

type ListedKind = keyof typeof retireNotes;

function listed<T extends { id: string }>(kind: ListedKind, before: readonly T[], after: readonly T[]) {
  const was = new Map(before.map((item) => [item.id, item]));
  const is = new Set(after.map((item) => item.id));
  return [
    ...after.flatMap((item) => changed(kind, item.id, was.get(item.id), item, was.has(item.id))),
    ...before
      .filter((item) => !is.has(item.id))
      .map((item): FleetChange => ({ action: 'retire', kind, id: item.id, fields: [], ...retireNotes[kind] })),
  ];
}

const retireNotes: Record<'machine' | 'model' | 'source', { note?: string }> = {
  machine: { note: 'its work moves to the others; its row and history stay' },
  model: {},
  source: { note: 'is read no more; its memories stay' },
};

/** One thing of a file against what there was of it; nothing where it is the same. */
export function changed(kind: FleetKind, id: string, before: unknown, after: unknown, existed: boolean): FleetChange[] {
  const fields = differences(before ?? {}, after);
  if (!existed) return [{ action: 'create', kind, id, fields }];
  return fields.length === 0 ? [] : [{ action: 'change', kind, id, fields }];
}

function pickOf<T extends object>(row: LivingAgent, like: T): Record<string, unknown> {
  return Object.fromEntries(Object.keys(like).map((key) => [key, row[key as keyof LivingAgent]]));
}

/** Leaves that differ between two plain values; lists are compared whole unless all their entries are blocks. */
export function differences(before: unknown, after: unknown, path = ''): FieldChange[] {
  if (isBlock(before) && isBlock(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) =>
      differences(valueOf(before, key), valueOf(after, key), path === '' ? key : `${path}.${key}`),
    );
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [
    { field: path, ...(before === undefined ? {} : { from: before }), ...(after === undefined ? {} : { to: after }) },
  ];
}

function isBlock(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return !Array.isArray(value) || (value.length > 0 && value.every(isBlock));
}

function valueOf(block: object, key: string): unknown {
  return Object.hasOwn(block, key) ? (block as Record<string, unknown>)[key] : undefined;
}
