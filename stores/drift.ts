import { sql } from 'kysely';
import type { Drift } from '../domain/drift.ts';
import type { PersonaSpace } from '../domain/persona-space.ts';
import type { DriftState } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { vectorBytes } from './embeddings.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { vectorOf } from './memory-columns.ts';
import { openNotice, resolveNotice } from './notices.ts';

/** An agent as it comes to its rating. */
export interface RatedAgent {
  agentId: string;
  persona: string;
  traits: string[];
  /** It could not be read the last time, and somebody was told so. */
  failing: boolean;
  /** Null before the first rating. */
  standing: { ratingId: string; state: DriftState; model: string; newestOutput: string; period: string } | null;
}

export interface NewRating extends Drift {
  agentId: string;
  /** The rating in force when this one was made; null for the first. Another one meanwhile: this one is dropped. */
  after: string | null;
  state: DriftState;
  windowSize: number;
  history: number;
  reason: string;
  newestOutput: string;
  /** Mean of the window, unit length. */
  vector: Float32Array;
}

export interface StoredSpace {
  id: string;
  space: PersonaSpace;
  agents: number;
  outputs: number;
}

/** A sweep in hand may still use the one before. */
const spacesKept = 3;

const failureKey = (agentId: string) => `drift_failing:${agentId}`;

export function createDriftStore(db: Database) {
  return {
    /** Agents that are not retired, by id. */
    async agentsAfter(ownerId: string, after: string, limit: number): Promise<RatedAgent[]> {
      const rows = await db
        .selectFrom('agents')
        .leftJoin('agentDrift', 'agentDrift.agentId', 'agents.id')
        .leftJoin('driftRatings', 'driftRatings.id', 'agentDrift.ratingId')
        .select(['agents.id as agentId', 'persona', 'traits', 'ratingId', 'newestOutput'])
        .select(['agentDrift.state as state', 'agentDrift.model as model', 'period'])
        .select(
          sql<boolean>`exists (select from notices n where n.key = ${failureKey('')} || agents.id and n.resolved_at is null)`.as(
            'failing',
          ),
        )
        .where('agents.ownerId', '=', ownerId)
        .where('agents.state', '<>', 'retired')
        .where('agents.id', '>', after)
        .orderBy('agents.id')
        .limit(limit)
        .execute();
      return rows.map(({ agentId, persona, traits, ratingId, newestOutput, state, model, period, failing }) => ({
        agentId,
        failing,
        persona,
        traits,
        standing:
          ratingId === null
            ? null
            : {
                ratingId,
                state: state as DriftState,
                model: model!,
                newestOutput: newestOutput!,
                period: period!,
              },
      }));
    },

    async agentIds(ownerId: string): Promise<string[]> {
      const rows = await db
        .selectFrom('agents')
        .select('id')
        .where('ownerId', '=', ownerId)
        .where('state', '<>', 'retired')
        .orderBy('id')
        .execute();
      return rows.map(({ id }) => id);
    },

    /**
     * Stores ratings of one period with the states and events they bring, in one transaction. What was stored before, was
     * overtaken by another rating, or belongs to an agent that was retired meanwhile is left out: twice is once.
     */
    async store(input: {
      ownerId: string;
      period: string;
      model: string;
      spaceId: string | null;
      ratings: readonly NewRating[];
    }): Promise<{ stored: number; changed: number }> {
      const { ownerId, period, model, spaceId } = input;
      if (input.ratings.length === 0) return { stored: 0, changed: 0 };
      return db.transaction().execute(async (tx) => {
        const standing = await lockedStanding(
          tx,
          ownerId,
          input.ratings.map(({ agentId }) => agentId),
        );
        const due = input.ratings.filter(({ agentId, after }) => {
          const now = standing.get(agentId);
          return now !== undefined && now.ratingId === after && now.period !== period;
        });
        if (due.length === 0) return { stored: 0, changed: 0 };
        const rows = due.map((rating) => ({ rating, id: newId('driftRating') }));
        const inserted = await tx
          .insertInto('driftRatings')
          .values(
            rows.map(({ id, rating }) => ({
              id,
              ownerId,
              agentId: rating.agentId,
              period,
              state: rating.state,
              drift: rating.drift,
              weighted: rating.weighted,
              z: rating.z,
              windowSize: rating.windowSize,
              history: rating.history,
              model,
              spaceId,
              reason: rating.reason,
            })),
          )
          .onConflict((conflict) => conflict.columns(['agentId', 'period']).doNothing())
          .returning('id')
          .execute();
        const made = new Set(inserted.map(({ id }) => id));
        const stored = rows.filter(({ id }) => made.has(id));
        if (stored.length === 0) return { stored: 0, changed: 0 };
        await tx
          .insertInto('agentDrift')
          .values(
            stored.map(({ id, rating }) => ({
              agentId: rating.agentId,
              ownerId,
              ratingId: id,
              state: rating.state,
              since: sql<Date>`now()`,
              model,
              newestOutput: rating.newestOutput,
              vector: vectorBytes(rating.vector),
            })),
          )
          .onConflict((conflict) =>
            conflict.column('agentId').doUpdateSet((eb) => ({
              ratingId: eb.ref('excluded.ratingId'),
              state: eb.ref('excluded.state'),
              since: sql<Date>`case when agent_drift.state = excluded.state then agent_drift.since else excluded.since end`,
              model: eb.ref('excluded.model'),
              newestOutput: eb.ref('excluded.newestOutput'),
              vector: eb.ref('excluded.vector'),
            })),
          )
          .execute();
        const changed = stored.filter(({ rating }) => (standing.get(rating.agentId)!.state ?? 'calm') !== rating.state);
        await appendEvents(
          tx,
          changed.map(({ id, rating }) => ({
            ownerId,
            type: 'agent.drift_changed',
            subject: rating.agentId,
            data: { from: standing.get(rating.agentId)!.state ?? 'calm', to: rating.state, z: rating.z, ratingId: id },
          })),
        );
        return { stored: stored.length, changed: changed.length };
      });
    },

    /** The newest persona space of a model, or the one named. */
    async space(ownerId: string, model: string, id?: string): Promise<StoredSpace | undefined> {
      let query = db
        .selectFrom('driftSpaces')
        .select(['id', 'dimensions', 'vectors', 'agents', 'outputs'])
        .where('ownerId', '=', ownerId)
        .where('model', '=', model);
      if (id !== undefined) query = query.where('id', '=', id);
      const row = await query.orderBy('id', 'desc').limit(1).executeTakeFirst();
      if (!row) return undefined;
      const { dimensions, vectors, ...about } = row;
      const numbers = Float64Array.from(vectorOf(vectors));
      return {
        ...about,
        space: {
          dimensions,
          count: numbers.length / dimensions - 1,
          mean: numbers.slice(0, dimensions),
          directions: numbers.slice(dimensions),
        },
      };
    },

    /** Keeps a new space and lets the oldest go. @returns its id */
    async keepSpace(
      ownerId: string,
      model: string,
      { space, agents, outputs }: { space: PersonaSpace; agents: number; outputs: number },
    ): Promise<string> {
      const id = newId('driftSpace');
      const { dimensions } = space;
      const vectors = vectorBytes(Float32Array.from([...space.mean, ...space.directions]));
      await db.transaction().execute(async (tx) => {
        await tx
          .insertInto('driftSpaces')
          .values({ id, ownerId, model, dimensions, vectors, agents, outputs })
          .execute();
        await sql`delete from drift_spaces where owner_id = ${ownerId} and id not in (
          select id from drift_spaces where owner_id = ${ownerId} order by id desc limit ${spacesKept})`.execute(tx);
      });
      return id;
    },

    /** Says that an agent was passed over because it could not be rated; taken back once it could. */
    async noteFailure(ownerId: string, agentId: string, reason: string | undefined): Promise<void> {
      const key = failureKey(agentId);
      if (reason === undefined) return resolveNotice(db, key);
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'drift_failing',
        key,
        subject: agentId,
        title: `The drift of ${agentId} could not be rated`,
        detail: `${reason}. Each period tries again.`,
        action: 'delete a damaged row from embeddings, which makes it anew, or supersede what the model cannot read',
      });
    },
  };
}
export type DriftStore = ReturnType<typeof createDriftStore>;

/** Living ones of these agents, locked in the order of their ids, each with how it stands now. */
async function lockedStanding(tx: Executor, ownerId: string, agentIds: readonly string[]) {
  const agents = await tx
    .selectFrom('agents')
    .select('id')
    .where('id', 'in', [...agentIds])
    .where('ownerId', '=', ownerId)
    .where('state', '<>', 'retired')
    .orderBy('id')
    .forUpdate()
    .execute();
  const rows = await tx
    .selectFrom('agentDrift')
    .innerJoin('driftRatings', 'driftRatings.id', 'agentDrift.ratingId')
    .select(['agentDrift.agentId', 'ratingId', 'agentDrift.state', 'period'])
    .where('agentDrift.agentId', 'in', [...agentIds])
    .execute();
  const known = new Map(rows.map((row) => [row.agentId, row]));
  return new Map(
    agents.map(({ id }) => {
      const row = known.get(id);
      return [
        id,
        {
          ratingId: row?.ratingId ?? null,
          period: row?.period ?? null,
          state: (row?.state as DriftState | undefined) ?? null,
        },
      ];
    }),
  );
}
