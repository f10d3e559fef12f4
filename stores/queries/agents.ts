import { sql } from 'kysely';
import type { LivingAgent } from '../../domain/fleet-changes.ts';
import type { AgentOrigin, AgentState, DriftState, RunState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { isDue } from '../due-memories.ts';
import { egoOf } from '../ego.ts';
import { iso, type PageRequest } from './page.ts';

export interface AgentView {
  id: string;
  name: string;
  archetype: string;
  origin: AgentOrigin;
  /** Null for a first agent. */
  parentId: string | null;
  /** The first ancestor; a first agent's own id. */
  lineageId: string;
  /** Steps from the first ancestor. */
  generation: number;
  state: AgentState;
  paused: boolean;
  cadence: string;
  modelId: string;
  machineId: string | null;
  traits: string[];
  maskSeed: number;
  /** Why it has no machine, or does not run. */
  why: string;
  memories: number;
  /** Memories that no reflection has read yet. */
  unread: number;
  /** Null while it is not rated. */
  drift: { state: DriftState; since: string; drift: number; z: number | null; ratedAt: string } | null;
  lastRun: {
    id: string;
    state: RunState;
    reason: string;
    degraded: boolean;
    machineId: string | null;
    createdAt: string;
    endedAt: string | null;
  } | null;
}

export interface AgentDetail extends AgentView {
  persona: string;
  leastClass: string;
  mayDegrade: boolean;
  priority: number;
  tokensPerDay: number;
  expectedTokens: number;
  importanceThreshold: number;
  /** Σ importance since it last reflected; at the threshold it does. */
  importanceSum: number;
  fleetVersion: number;
  /** Micro-ego it holds now. */
  ego: number;
  createdAt: string;
}

export interface AgentFilter {
  state?: AgentState | undefined;
  archetype?: string | undefined;
  origin?: AgentOrigin | undefined;
  lineageId?: string | undefined;
  machineId?: string | undefined;
}

function agentQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('agents')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('runs')
          .select(['id', 'state', 'reason', 'degraded', 'machineId', 'createdAt', 'endedAt'])
          .whereRef('runs.agentId', '=', 'agents.id')
          .orderBy('createdAt', 'desc')
          .limit(1)
          .as('last'),
      (join) => join.onTrue(),
    )
    .leftJoin('agentDrift', 'agentDrift.agentId', 'agents.id')
    .leftJoin('driftRatings', 'driftRatings.id', 'agentDrift.ratingId')
    .where('agents.ownerId', '=', ownerId)
    .selectAll('agents')
    .select((eb) =>
      eb
        .selectFrom('memories')
        .select((count) => count.fn.countAll<number>().as('unread'))
        .whereRef('memories.agentId', '=', 'agents.id')
        .whereRef('memories.seq', '>', 'agents.reflectedToSeq')
        .where(isDue(sql<number>`agents.reflected_to_seq`))
        .as('unread'),
    )
    .select([
      'agentDrift.state as driftState',
      'agentDrift.since as driftSince',
      'driftRatings.drift as drift',
      'driftRatings.z as driftZ',
      'driftRatings.ratedAt as driftRatedAt',
    ])
    .select([
      'last.id as lastId',
      'last.state as lastState',
      'last.reason as lastReason',
      'last.degraded as lastDegraded',
      'last.machineId as lastMachineId',
      'last.createdAt as lastCreatedAt',
      'last.endedAt as lastEndedAt',
    ]);
}
type AgentRow = Awaited<ReturnType<ReturnType<typeof agentQuery>['execute']>>[number];

function agentView(row: AgentRow): AgentView {
  return {
    id: row.id,
    name: row.name,
    archetype: row.archetype,
    origin: row.origin as AgentOrigin,
    parentId: row.parentId,
    lineageId: row.lineageId,
    generation: row.generation,
    state: row.state as AgentState,
    paused: row.paused,
    cadence: row.cadence,
    modelId: row.modelId,
    machineId: row.homeMachineId,
    traits: row.traits,
    maskSeed: row.maskSeed,
    why: row.paused ? 'paused by its operator' : row.homeReason,
    memories: row.memorySeq,
    unread: row.unread ?? 0,
    drift:
      row.driftState === null
        ? null
        : {
            state: row.driftState as DriftState,
            since: iso(row.driftSince!),
            drift: row.drift!,
            z: row.driftZ,
            ratedAt: iso(row.driftRatedAt!),
          },
    lastRun:
      row.lastId === null
        ? null
        : {
            id: row.lastId,
            state: row.lastState as RunState,
            reason: row.lastReason ?? '',
            degraded: row.lastDegraded ?? false,
            machineId: row.lastMachineId,
            createdAt: iso(row.lastCreatedAt!),
            endedAt: iso(row.lastEndedAt),
          },
  };
}

/** Ordered by id. */
export async function listAgents(db: Executor, page: PageRequest & AgentFilter): Promise<AgentView[]> {
  let query = agentQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('agents.id', '>', page.after);
  if (page.state !== undefined) query = query.where('agents.state', '=', page.state);
  if (page.archetype !== undefined) query = query.where('archetype', '=', page.archetype);
  if (page.origin !== undefined) query = query.where('origin', '=', page.origin);
  if (page.lineageId !== undefined) query = query.where('lineageId', '=', page.lineageId);
  if (page.machineId !== undefined) query = query.where('homeMachineId', '=', page.machineId);
  const rows = await query.orderBy('agents.id').limit(page.limit).execute();
  return rows.map(agentView);
}

export async function findAgent(db: Executor, ownerId: string, id: string): Promise<AgentDetail | undefined> {
  const row = await agentQuery(db, ownerId).where('agents.id', '=', id).executeTakeFirst();
  return (
    row && {
      ...agentView(row),
      persona: row.persona,
      leastClass: row.leastClass,
      mayDegrade: row.mayDegrade,
      priority: row.priority,
      tokensPerDay: row.tokensPerDay,
      expectedTokens: row.expectedTokens,
      importanceThreshold: row.importanceThreshold,
      importanceSum: row.importanceSum,
      fleetVersion: row.fleetVersion,
      ego: await egoOf(db, id),
      createdAt: iso(row.createdAt),
    }
  );
}

/** What an apply compares with the file; retired ones too, since naming one again revives it. */
export async function livingAgents(db: Executor, ownerId: string): Promise<LivingAgent[]> {
  const rows = await db
    .selectFrom('agents')
    .select([
      'id',
      'archetype',
      'origin',
      'state',
      'retiredBy',
      'name',
      'persona',
      'traits',
      'maskSeed',
      'cadence',
      'modelId',
      'leastClass',
      'mayDegrade',
      'priority',
      'tokensPerDay',
      'expectedTokens',
      'importanceThreshold',
    ])
    .where('ownerId', '=', ownerId)
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    ...row,
    origin: row.origin as AgentOrigin,
    state: row.state as AgentState,
    retiredBy: row.retiredBy as LivingAgent['retiredBy'],
  }));
}

export interface AgentCounts {
  total: number;
  active: number;
  parked: number;
  dormant: number;
  retired: number;
  paused: number;
  unplaced: number;
  byMachine: Record<string, number>;
}

/** Dormant and retired agents are counted apart and are not in the total. */
export async function countAgents(db: Executor, ownerId: string): Promise<AgentCounts> {
  const rows = await db
    .selectFrom('agents')
    .select(['state', 'paused', 'homeMachineId', sql<number>`count(*)`.as('count')])
    .where('ownerId', '=', ownerId)
    .groupBy(['state', 'paused', 'homeMachineId'])
    .execute();
  const counts: AgentCounts = {
    total: 0,
    active: 0,
    parked: 0,
    dormant: 0,
    retired: 0,
    paused: 0,
    unplaced: 0,
    byMachine: {},
  };
  for (const { state, paused, homeMachineId, count } of rows) {
    counts[state as AgentState] += count;
    if (state === 'retired' || state === 'dormant') continue;
    counts.total += count;
    if (paused) counts.paused += count;
    if (homeMachineId === null) counts.unplaced += count;
    else counts.byMachine[homeMachineId] = (counts.byMachine[homeMachineId] ?? 0) + count;
  }
  return counts;
}

/** Agents that are not retired, by the model they want. */
export async function countAgentsByModel(db: Executor, ownerId: string): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('agents')
    .select(['modelId', sql<number>`count(*)`.as('count')])
    .where('ownerId', '=', ownerId)
    .where('state', 'not in', ['retired', 'dormant'])
    .groupBy('modelId')
    .execute();
  return new Map(rows.map((row) => [row.modelId, row.count]));
}
