import { sql } from 'kysely';
import { bornAgentId } from '../domain/ids.ts';
import type { Fleet } from '../domain/fleet.ts';
import type { Persona } from '../domain/personas.ts';
import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import type { MeasuredRate } from '../domain/rates.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import type { Refusal, SpawnEnd } from '../domain/whispers.ts';
import { type BirthOfWhisper, giveBirth } from './births.ts';
import type { PlaceableService } from '../domain/service-placement.ts';
import { placeableServices } from './services.ts';
import type { Database } from './database.ts';
import { appendEvents } from './events.ts';
import { currentFleet } from './fleets.ts';
import { dropForgottenDrafts } from './forgotten-whispers.ts';
import { newId } from './ids.ts';
import { openNotice } from './notices.ts';
import { createOneAtATime } from './one-at-a-time.ts';
import { measuredRates } from './placement.ts';
import { demandOf } from './room.ts';
import { isOpen, open, parentRetired, refuseWhisper, standing, whisperNotice } from './whispers.ts';
import { takeLock } from './locks.ts';

/** A whisper that is worked on, with what its parent gives. */
export interface OpenSpawn {
  whisperId: string;
  ownerId: string;
  text: string;
  parent: {
    id: string;
    name: string;
    persona: string;
    traits: string[];
    maskSeed: number;
    archetype: string;
    modelId: string;
  };
}

/** What an inference activity wrote for a draft. */
export interface DraftedPersona extends Persona {
  source: 'model' | 'extractive';
  modelId: string;
  promptVersion: string;
  tokens: number;
}

export interface Nearest {
  agentId: string;
  cosine: number;
}

export function createSpawnStore(db: Database) {
  const naming = createOneAtATime();
  const housing = createOneAtATime();
  const oneBirth = createOneAtATime();

  const refuse = (whisperId: string, refusal: Refusal, state?: 'refused' | 'expired') =>
    refuseWhisper(db, whisperId, refusal, state);

  return {
    refuse,

    /** The whisper and its parent as long as it is under way, else how it ended; a parent retired meanwhile ends it. */
    async underWay(whisperId: string): Promise<OpenSpawn | SpawnEnd> {
      const row = await db
        .selectFrom('whispers')
        .innerJoin('agents', 'agents.id', 'whispers.parentId')
        .select(['whispers.state as whisperState', 'whispers.ownerId', 'text'])
        .select(['agents.id', 'agents.name', 'persona', 'traits', 'maskSeed', 'archetype', 'agents.modelId'])
        .select('agents.state as parentState')
        .where('whispers.id', '=', whisperId)
        .executeTakeFirst();
      if (!row || !isOpen(row.whisperState)) return standing(db, whisperId);
      const { whisperState: _, ownerId, text, parentState, ...parent } = row;
      if (parentState === 'retired') return refuse(whisperId, parentRetired(parent.id));
      return { whisperId, ownerId, text, parent };
    },

    /**
     * Takes a name for a draft that no agent and no other whisper under way has: the first free one of the candidates. The
     * same draft keeps its name.
     * @returns null where all are taken
     */
    async takeName(whisperId: string, draft: number, candidates: readonly string[]): Promise<string | null> {
      return naming(() =>
        db.transaction().execute(async (tx) => {
          // One at a time: two who look at once would both find the same name free.
          await takeLock(tx, 'name');
          const row = await tx
            .selectFrom('whispers')
            .select(['draft', 'name'])
            .where('id', '=', whisperId)
            .where('state', 'in', open)
            .forUpdate()
            .executeTakeFirst();
          if (!row) return null;
          if (row.draft === draft && row.name !== null) return row.name;
          const { rows } = await sql<{ name: string }>`
          select name from unnest(${[...candidates]}::text[], ${candidates.map((name) => bornAgentId(name) ?? '')}::text[])
            with ordinality as candidate (name, id, place)
          where id <> '' and not exists (select from agents a where a.name = candidate.name or a.id = candidate.id)
            and not exists (select from whispers w where w.name = candidate.name and w.state in ('received', 'awaiting_approval'))
          order by place limit 1`.execute(tx);
          const name = rows[0]?.name ?? null;
          if (name !== null)
            // What a person was shown is not this one: until it is shown in its turn nobody can say yes to it.
            await tx
              .updateTable('whispers')
              .set({ draft, name, state: 'received' })
              .where('id', '=', whisperId)
              .execute();
          return name;
        }),
      );
    },

    /** A draft is compared with all personas from now on, by the database's clock: whoever is born later is looked at in the birth. */
    async judging(whisperId: string): Promise<void> {
      await db
        .updateTable('whispers')
        .set({ judgedAt: sql<Date>`clock_timestamp()` })
        .where('id', '=', whisperId)
        .execute();
    },

    /** Notes what a draft is and what stands nearest to it. */
    async judged(
      whisperId: string,
      drafted: Pick<DraftedPersona, 'source' | 'modelId' | 'promptVersion'>,
      { nearest, judgedBy }: { nearest: Nearest | undefined; judgedBy: string },
    ): Promise<void> {
      await db.transaction().execute(async (tx) => {
        // The agent that it will name before the whisper, as whoever forgets what it says.
        if (nearest !== undefined)
          await tx.selectFrom('agents').select('id').where('id', '=', nearest.agentId).forKeyShare().execute();
        await tx
          .updateTable('whispers')
          .set({
            personaSource: drafted.source,
            modelId: drafted.modelId,
            promptVersion: drafted.promptVersion,
            nearestId: nearest?.agentId ?? null,
            nearestCosine: nearest?.cosine ?? null,
            judgedBy,
          })
          .where('id', '=', whisperId)
          .where('state', 'in', open)
          .execute();
      });
    },

    dropForgottenDrafts: (whisperId: string) => db.transaction().execute((tx) => dropForgottenDrafts(tx, whisperId)),

    /**
     * Asks whether the fleet has room for one more, those that have been given room and are still under way counted too,
     * and keeps that room until the whisper ends.
     * @param refusalOf says why there is none, under the fleet in force
     */
    async takeRoom(
      whisperId: string,
      refusalOf: (
        fleet: Fleet,
        agents: PlacementAgent[],
        rates: MeasuredRate[],
        services: PlaceableService[],
      ) => string | undefined,
    ): Promise<SpawnEnd | undefined> {
      const reason = await housing(() =>
        db.transaction().execute(async (tx) => {
          const demand = await demandOf(tx);
          const own = await tx
            .selectFrom('whispers')
            .innerJoin('agents', 'agents.id', 'whispers.parentId')
            .select([
              'whispers.id',
              'roomAt',
              'agents.modelId',
              'cadence',
              'expectedTokens',
              'priority',
              'mayDegrade',
              'leastClass',
            ])
            .where('whispers.state', 'in', open)
            .where('whispers.id', '=', whisperId)
            .executeTakeFirst();
          if (!own || own.roomAt !== null) return undefined;
          const child = placementAgent({ ...own, model: own.modelId, leastClass: own.leastClass as GpuClass });
          // Read under the lock: an apply that came first is held to, one that comes later counts this one.
          const { fleet } = (await currentFleet(tx))!;
          const refusal = refusalOf(fleet, [...demand, child], await measuredRates(tx), await placeableServices(tx));
          if (refusal !== undefined) return refusal;
          await tx.updateTable('whispers').set({ roomAt: sql<Date>`now()` }).where('id', '=', whisperId).execute();
          return undefined;
        }),
      );
      return reason === undefined ? undefined : refuse(whisperId, { code: 'NO_ROOM', reason });
    },

    /** Waits for a person from now on; asked twice it is one wait with one end. @returns ISO time of the deadline */
    async awaitApproval(whisperId: string, seconds: number, persona: Persona): Promise<string | null> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('whispers')
          .set({
            state: 'awaiting_approval',
            deadline: sql<Date>`coalesce(deadline, now() + make_interval(secs => ${seconds}))`,
          })
          .where('id', '=', whisperId)
          .where('state', 'in', open)
          .returning(['ownerId', 'parentId', 'text', 'deadline'])
          .executeTakeFirst();
        if (!row) return null;
        const deadline = row.deadline!.toISOString();
        await openNotice(tx, {
          id: newId('notice'),
          ownerId: row.ownerId,
          kind: 'whisper_waiting',
          key: whisperNotice(whisperId),
          subject: whisperId,
          title: `${persona.name} would be born of ${row.parentId}, until ${deadline}`,
          detail: `${persona.persona} · The whisper (request): ${row.text}`,
          action: `soulfra whispers approve ${whisperId} · soulfra whispers refuse ${whisperId}`,
        });
        await appendEvents(tx, [
          { ownerId: row.ownerId, type: 'whisper.waiting', subject: whisperId, data: { deadline } },
        ]);
        return deadline;
      });
    },

    /** The birth, one at a time. */
    giveBirth: (input: BirthOfWhisper) => oneBirth(() => giveBirth(db, input)),
  };
}
export type SpawnStore = ReturnType<typeof createSpawnStore>;
