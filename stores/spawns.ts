import { sql } from 'kysely';
import type { Persona } from '../domain/personas.ts';
import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import { egoShareOf, type Spawning } from '../domain/spawn-policy.ts';
import { cosine } from '../domain/embeddings.ts';
import { DomainError } from '../domain/errors.ts';
import { bornAgentId } from '../domain/ids.ts';
import type { MemoryKind } from '../domain/states.ts';
import type { MeasuredRate } from '../domain/rates.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import { openWhisperStates, type Refusal, type WhisperState } from '../domain/whispers.ts';
import { birth } from './agents.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { egoOf, transferEgo } from './ego.ts';
import { contentHash, vectorOf } from './embeddings.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { createMemoryStore, type NewMemory } from './memories.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { measuredRates, placementAgents } from './placement.ts';
import { requestReplan } from './plans.ts';

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

export type SpawnEnd =
  | { state: 'spawned'; agentId: string }
  | { state: 'refused' | 'expired'; code: string; reason: string };

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

const open: readonly WhisperState[] = openWhisperStates;
function noticeKey(whisperId: string): string {
  return `whisper:${whisperId}`;
}

/** Rolls a birth back: the whisper is refused in a transaction of its own, or gets another draft. */
class Undone extends Error {
  readonly refusal: Refusal | undefined;
  constructor(refusal?: Refusal) {
    super(refusal?.reason ?? 'the draft no longer stands alone');
    this.name = 'Undone';
    this.refusal = refusal;
  }
}

export function createSpawnStore(db: Database) {
  const memories = createMemoryStore(db);

  /** Ends a whisper without a persona; one that has ended stays as it is. @returns how it stands */
  async function refuse(
    whisperId: string,
    { code, reason }: Refusal,
    state: 'refused' | 'expired' = 'refused',
  ): Promise<SpawnEnd> {
    return db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable('whispers')
        .set({ state, reasonCode: code, reason, endedAt: sql<Date>`clock_timestamp()` })
        .where('id', '=', whisperId)
        .where('state', 'in', open)
        .returning(['ownerId', 'parentId'])
        .executeTakeFirst();
      if (!row) return standing(tx, whisperId);
      const data = { parentId: row.parentId, code };
      await appendEvents(tx, [{ ownerId: row.ownerId, type: `whisper.${state}`, subject: whisperId, data }]);
      await resolveNotice(tx, noticeKey(whisperId));
      return { state, code, reason };
    });
  }

  return {
    refuse,

    /** The whisper and its parent as long as it is under way; else how it ended. */
    async read(whisperId: string): Promise<OpenSpawn | SpawnEnd> {
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
      return db.transaction().execute(async (tx) => {
        // One at a time: two who look at once would both find the same name free.
        await sql`select pg_advisory_xact_lock(7205417)`.execute(tx);
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
        if (name !== null) await tx.updateTable('whispers').set({ draft, name }).where('id', '=', whisperId).execute();
        return name;
      });
    },

    /** Notes what a draft is and what stands nearest to it. */
    async judged(
      whisperId: string,
      drafted: Pick<DraftedPersona, 'source' | 'modelId' | 'promptVersion'>,
      { nearest, judgedBy, judgedAt }: { nearest: Nearest | undefined; judgedBy: string; judgedAt: Date },
    ): Promise<void> {
      await db
        .updateTable('whispers')
        .set({
          personaSource: drafted.source,
          modelId: drafted.modelId,
          promptVersion: drafted.promptVersion,
          nearestId: nearest?.agentId ?? null,
          nearestCosine: nearest?.cosine ?? null,
          judgedBy,
          judgedAt,
        })
        .where('id', '=', whisperId)
        .where('state', 'in', open)
        .execute();
    },

    /**
     * Asks whether the fleet has room for one more, those that have been given room and are still under way counted too,
     * and keeps that room until the whisper ends.
     * @param refusalOf says why there is none
     */
    async takeRoom(
      whisperId: string,
      refusalOf: (agents: PlacementAgent[], rates: MeasuredRate[]) => string | undefined,
    ): Promise<SpawnEnd | undefined> {
      const reason = await db.transaction().execute(async (tx) => {
        await sql`select pg_advisory_xact_lock(7205418)`.execute(tx);
        const rows = await tx
          .selectFrom('whispers')
          .innerJoin('agents', 'agents.id', 'whispers.parentId')
          .select(['whispers.id', 'roomAt'])
          .select(['agents.modelId', 'cadence', 'expectedTokens', 'priority', 'mayDegrade', 'leastClass'])
          .where('whispers.state', 'in', open)
          .where((eb) => eb.or([eb('roomAt', 'is not', null), eb('whispers.id', '=', whisperId)]))
          .execute();
        const own = rows.find((row) => row.id === whisperId);
        if (!own || own.roomAt !== null) return undefined;
        const coming = rows.map((row) =>
          placementAgent({ ...row, model: row.modelId, leastClass: row.leastClass as GpuClass }),
        );
        const refusal = refusalOf([...(await placementAgents(tx)), ...coming], await measuredRates(tx));
        if (refusal !== undefined) return refusal;
        await tx.updateTable('whispers').set({ roomAt: sql<Date>`now()` }).where('id', '=', whisperId).execute();
        return undefined;
      });
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
          key: noticeKey(whisperId),
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

    /**
     * The birth, all of it in one transaction: agent, inherited memories, its share of the parent's ego, the whisper's end,
     * and the wish for a plan. A second call finds the agent that is there.
     * @returns undefined where the draft no longer stands alone (its name is taken, or one born since is too alike)
     */
    async bear(input: Bear): Promise<SpawnEnd | undefined> {
      try {
        return await db.transaction().execute((tx) => bearIn(tx, memories, input));
      } catch (err) {
        if (!(err instanceof Undone)) throw err;
        return err.refusal && refuse(input.whisperId, err.refusal);
      }
    },
  };
}
export type SpawnStore = ReturnType<typeof createSpawnStore>;

export interface Bear {
  whisperId: string;
  persona: Persona;
  /** Memories of the parent that the child is born with. */
  memoryIds: readonly string[];
  policy: Spawning;
  fleetVersion: number;
}

async function bearIn(
  tx: DatabaseTransaction,
  memories: ReturnType<typeof createMemoryStore>,
  { whisperId, persona, memoryIds, policy, fleetVersion }: Bear,
): Promise<SpawnEnd | undefined> {
  // One birth at a time, so that each sees the personas born before it.
  await sql`select pg_advisory_xact_lock(7205419)`.execute(tx);
  const whisper = await tx
    .selectFrom('whispers')
    .select(['ownerId', 'parentId', 'text', 'state', 'judgedAt', 'judgedBy'])
    .where('id', '=', whisperId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (!isOpen(whisper.state)) return standing(tx, whisperId);
  const { ownerId, parentId } = whisper;
  const agentId = bornAgentId(persona.name);
  if (agentId === undefined) throw new Undone({ code: 'NO_NAME', reason: `${persona.name} makes no id` });
  // The plan's row before any agent's, as whoever computes one does.
  await requestReplan(tx, { ownerId, reason: `${agentId} was born` });
  const parent = await tx
    .selectFrom('agents')
    .selectAll()
    .where('id', '=', parentId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (parent.state === 'retired') throw new Undone(parentRetired(parentId));
  if (await fallen(tx, whisper, persona, agentId, policy.mostAlike)) throw new Undone();
  const ego = await egoOf(tx, parentId);
  const share = egoShareOf(ego, policy);
  if (share === undefined) {
    const reason = `${parentId} holds ${ego} micro-ego; a share of ${policy.egoShare} must leave it ${policy.egoFloor} (spawning.egoFloor)`;
    throw new Undone({ code: 'EGO_TOO_LOW', reason });
  }
  await birth(tx, {
    ownerId,
    origin: 'spawn',
    fleetVersion,
    parentId,
    homeMachineId: parent.homeMachineId,
    agents: [
      {
        ...persona,
        id: agentId,
        archetype: parent.archetype,
        cadence: parent.cadence,
        modelId: parent.modelId,
        leastClass: parent.leastClass,
        mayDegrade: parent.mayDegrade,
        priority: parent.priority,
        tokensPerDay: parent.tokensPerDay,
        expectedTokens: parent.expectedTokens,
      },
    ],
  });
  await transferEgo(tx, {
    ownerId,
    kind: 'spawn',
    transferId: `spawn:${whisperId}`,
    fromId: parentId,
    toId: agentId,
    amount: share,
  });
  const heritage = await inherited(tx, ownerId, parentId, agentId, memoryIds);
  await memories.add(ownerId, [...heritage, called(whisperId, agentId, whisper.text)], tx);
  await tx
    .updateTable('whispers')
    .set({ state: 'spawned', agentId, endedAt: sql<Date>`clock_timestamp()` })
    .where('id', '=', whisperId)
    .execute();
  await resolveNotice(tx, noticeKey(whisperId));
  await appendEvents(tx, [
    { ownerId, type: 'agent.born', subject: agentId, data: { parentId, whisperId, ego: share } },
    { ownerId, type: 'whisper.spawned', subject: whisperId, data: { parentId, agentId } },
  ]);
  return { state: 'spawned', agentId };
}

/** Transactions end within 10 s, so who was born in one that began before this was seen when the draft was judged. */
const bornUnseen = '15 seconds';

/** Whether the name was taken since, or a persona was born since that is too alike. */
async function fallen(
  tx: Executor,
  whisper: { ownerId: string; judgedAt: Date | null; judgedBy: string | null },
  persona: Persona,
  agentId: string,
  mostAlike: number,
): Promise<boolean> {
  const taken = await tx
    .selectFrom('agents')
    .select('id')
    .where((eb) => eb.or([eb('id', '=', agentId), eb('name', '=', persona.name)]))
    .executeTakeFirst();
  if (taken) return true;
  const { rows } = await sql<{ agentId: string; vector: Buffer; own: Buffer }>`
    select a.id as agent_id, e.vector, own.vector as own from agents a
    join embeddings e on e.owner_id = a.owner_id and e.model = ${whisper.judgedBy}
      and e.content_hash = sha256(convert_to(a.persona, 'UTF8'))
    join embeddings own on own.owner_id = a.owner_id and own.model = e.model and own.content_hash = ${contentHash(persona.persona)}
    where a.owner_id = ${whisper.ownerId} and a.created_at > ${whisper.judgedAt}::timestamptz - ${bornUnseen}::interval`.execute(
    tx,
  );
  return rows.some(({ vector, own }) => cosine(vectorOf(vector), vectorOf(own)) >= mostAlike);
}

async function inherited(
  tx: Executor,
  ownerId: string,
  parentId: string,
  agentId: string,
  ids: readonly string[],
): Promise<NewMemory[]> {
  if (ids.length === 0) return [];
  const rows = await tx
    .selectFrom('memories')
    .select(['id', 'kind', 'text', 'importance', 'occurredAt'])
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', parentId)
    .where('id', 'in', [...ids])
    .where('deletedAt', 'is', null)
    .where('supersededAt', 'is', null)
    .orderBy('occurredAt')
    .execute();
  return rows.map(({ id, kind, occurredAt, ...memory }) => ({
    ...memory,
    agentId,
    kind: kind as MemoryKind,
    source: `inherited:${parentId}`,
    externalKey: `inherited:${id}`,
    occurredAt: occurredAt.toISOString(),
  }));
}

/** What called it into being is the first thing of its own that it remembers. */
function called(whisperId: string, agentId: string, text: string): NewMemory {
  return {
    agentId,
    kind: 'whisper',
    text,
    importance: calledImportance,
    source: `whisper:${whisperId}`,
    externalKey: whisperId,
    occurredAt: new Date().toISOString(),
  };
}
const calledImportance = 8;

function parentRetired(parentId: string): Refusal {
  return { code: 'PARENT_RETIRED', reason: `${parentId} is retired` };
}

function isOpen(state: string): boolean {
  return (open as readonly string[]).includes(state);
}

/** How a whisper that is no longer under way ended. */
async function standing(db: Executor, whisperId: string): Promise<SpawnEnd> {
  const row = await db
    .selectFrom('whispers')
    .select(['state', 'agentId', 'reasonCode', 'reason'])
    .where('id', '=', whisperId)
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no whisper ${whisperId}`);
  if (row.agentId !== null) return { state: 'spawned', agentId: row.agentId };
  const state = row.state as WhisperState;
  if (state !== 'refused' && state !== 'expired') throw new DomainError('CONFLICT', `${whisperId} is ${state}`);
  return { state, code: row.reasonCode, reason: row.reason };
}
