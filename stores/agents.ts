import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { AgentOrigin, AgentState } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { openEgo } from './ego.ts';
import { appendEvents } from './events.ts';

/** One agent as it is born: name, persona, traits and mask are its own from then on. */
export interface NewAgent {
  id: string;
  name: string;
  archetype: string;
  persona: string;
  traits: string[];
  maskSeed: number;
  cadence: string;
  modelId: string;
  leastClass: string;
  mayDegrade: boolean;
  priority: number;
  tokensPerDay: number;
  expectedTokens: number;
  /** 0: by Schedule and by call alone. */
  importanceThreshold: number;
}

export interface Birth {
  ownerId: string;
  origin: AgentOrigin;
  /** @default active */
  state?: Extract<AgentState, 'active' | 'dormant'>;
  /** The applied version of fleet.yaml that it is born under. */
  fleetVersion: number;
  /** Whose children they are, its row locked by the caller. First agents have none and open an ego account each. */
  parentId?: string;
  /** Where its load counts until the next plan. */
  homeMachineId?: string | null;
  agents: readonly NewAgent[];
}

/**
 * Gives birth in the caller's transaction: fleet apply, spawn and import all come through here. The caller asks for a new
 * plan in the same transaction (requestReplan), before it locks any agent.
 * @throws CONFLICT where an id or a name is taken, AGENT_RETIRED where the parent is
 */
export async function birth(tx: Executor, input: Birth): Promise<void> {
  const { ownerId, origin, state = 'active', fleetVersion, parentId, homeMachineId = null } = input;
  const parent = parentId === undefined ? undefined : await livingParent(tx, ownerId, parentId);
  for (let from = 0; from < input.agents.length; from += 1000) {
    const agents = input.agents.slice(from, from + 1000);
    await refuseTaken(tx, agents);
    await tx
      .insertInto('agents')
      .values(
        agents.map((agent) => ({
          ...agent,
          ownerId,
          origin,
          state,
          fleetVersion,
          ...(homeMachineId === null ? {} : { homeMachineId, homeReason: '' }),
          parentId: parentId ?? null,
          lineageId: parent?.lineageId ?? agent.id,
          generation: parent === undefined ? 0 : parent.generation + 1,
        })),
      )
      .execute();
    if (parent !== undefined) continue;
    await openEgo(
      tx,
      ownerId,
      agents.map(({ id }) => id),
    );
  }
}

/** Takes rows of agents in the order of their ids, as everybody does. */
export async function lockAgents(tx: Executor, ids: readonly string[]): Promise<void> {
  await tx
    .selectFrom('agents')
    .select('id')
    .where('id', 'in', [...ids])
    .orderBy('id')
    .forUpdate()
    .execute();
}

async function livingParent(tx: Executor, ownerId: string, parentId: string) {
  const parent = await tx
    .selectFrom('agents')
    .select(['lineageId', 'generation', 'state'])
    .where('id', '=', parentId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!parent) throw new DomainError('NOT_FOUND', `no agent ${parentId}`);
  if (parent.state === 'retired') throw new DomainError('AGENT_RETIRED', `${parentId} is retired`);
  return parent;
}

/**
 * A persona keeps its name for life, so a name cannot pass from one agent to another.
 * @throws CONFLICT where an id or a name is taken
 */
export async function refuseTaken(tx: Executor, agents: readonly NewAgent[]): Promise<void> {
  const taken = await tx
    .selectFrom('agents')
    .select(['id', 'name'])
    .where((eb) =>
      eb.or([
        eb(
          'name',
          'in',
          agents.map(({ name }) => name),
        ),
        eb(
          'id',
          'in',
          agents.map(({ id }) => id),
        ),
      ]),
    )
    .limit(1)
    .executeTakeFirst();
  if (!taken) return;
  const wanted = agents.find(({ id }) => id === taken.id);
  if (wanted) throw new DomainError('CONFLICT', `there is an agent ${taken.id} already`);
  const named = agents.find(({ name }) => name === taken.name)!;
  // Whose it is may be none of the caller's business.
  throw new DomainError('CONFLICT', `the name ${taken.name} is taken; ${named.id} needs another name`);
}

/** How often living agents reflect: each cadence has its Schedule, whoever gave birth to its agents. */
export async function livingCadences(db: Executor): Promise<string[]> {
  const rows = await db
    .selectFrom('agents')
    .select('cadence')
    .distinct()
    .where('state', 'not in', ['retired', 'dormant'])
    .orderBy('cadence')
    .execute();
  return rows.map(({ cadence }) => cadence);
}

export function createAgentStore(db: Database) {
  return {
    livingCadences: () => livingCadences(db),

    /** A paused agent is left out by sweeps until it is resumed; asking twice changes nothing more. */
    async setPaused(agentId: string, ownerId: string, paused: boolean): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const agent = await tx
          .selectFrom('agents')
          .select(['state', 'paused'])
          .where('id', '=', agentId)
          .where('ownerId', '=', ownerId)
          .forUpdate()
          .executeTakeFirst();
        if (!agent) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
        if (agent.state === 'retired') throw new DomainError('AGENT_RETIRED', `${agentId} is retired`);
        if (agent.paused === paused) return;
        await tx
          .updateTable('agents')
          .set({ paused, changedAt: sql<Date>`now()`, ...(paused ? {} : { resumedAt: sql<Date>`now()` }) })
          .where('id', '=', agentId)
          .execute();
        await appendEvents(tx, [{ ownerId, type: paused ? 'agent.paused' : 'agent.resumed', subject: agentId }]);
      });
    },
  };
}
