import { sql } from 'kysely';
import { cosine } from '../domain/embeddings.ts';
import { bornAgentId } from '../domain/ids.ts';
import type { Persona } from '../domain/personas.ts';
import { egoShareOf, type Spawning } from '../domain/spawn-policy.ts';
import type { Refusal, SpawnEnd } from '../domain/whispers.ts';
import { birth } from './agents.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { egoOf, transferEgo } from './ego.ts';
import { contentHash } from './embeddings.ts';
import { appendEvents } from './events.ts';
import { vectorOf } from './memory-columns.ts';
import { createMemoryStore, type NewMemory } from './memories.ts';
import { resolveNotice } from './notices.ts';
import { requestReplan } from './plans.ts';
import { isOpen, parentRetired, refuseWhisper, standing, whisperNotice } from './whispers.ts';
import { takeLock } from './locks.ts';

export interface Bear {
  whisperId: string;
  persona: Persona;
  /** Memories of the parent that the child is born with. */
  memoryIds: readonly string[];
  policy: Spawning;
  fleetVersion: number;
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

/**
 * The birth, all of it in one transaction: agent, inherited memories, its share of the parent's ego, the whisper's end, and
 * the wish for a plan. A second call finds the agent that is there.
 * @returns undefined where the draft no longer stands alone (its name is taken, or one born since is too alike)
 */
export async function bear(db: Database, input: Bear): Promise<SpawnEnd | undefined> {
  const memories = createMemoryStore(db);
  try {
    return await db.transaction().execute((tx) => bearIn(tx, memories, input));
  } catch (err) {
    if (!(err instanceof Undone)) throw err;
    return err.refusal && refuseWhisper(db, input.whisperId, err.refusal);
  }
}

async function bearIn(
  tx: DatabaseTransaction,
  memories: ReturnType<typeof createMemoryStore>,
  { whisperId, persona, memoryIds, policy, fleetVersion }: Bear,
): Promise<SpawnEnd | undefined> {
  // One birth at a time, so that each sees the personas born before it.
  await takeLock(tx, 'birth');
  const whisper = await tx
    .selectFrom('whispers')
    .select(['ownerId', 'parentId', 'text', 'state', 'receivedAt', 'judgedAt', 'judgedBy'])
    .where('id', '=', whisperId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (!isOpen(whisper.state)) return standing(tx, whisperId);
  const { ownerId, parentId } = whisper;
  const agentId = bornAgentId(persona.name);
  if (agentId === undefined) throw new Undone({ code: 'NO_NAME', reason: `${persona.name} makes no id` });
  // The plan's row before any agent's, as whoever computes one does.
  await requestReplan(tx, { ownerId, reason: 'a persona was born' });
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
        importanceThreshold: parent.importanceThreshold,
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
  await memories.add(ownerId, [...heritage, called(whisperId, agentId, whisper)], tx);
  await tx
    .updateTable('whispers')
    .set({ state: 'spawned', agentId, endedAt: sql<Date>`clock_timestamp()` })
    .where('id', '=', whisperId)
    .execute();
  await resolveNotice(tx, whisperNotice(whisperId));
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
    .select(['id', 'kind', 'text', 'importance', 'occurredAt', 'validTo'])
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', parentId)
    .where('id', 'in', [...ids])
    .where('deletedAt', 'is', null)
    .where('supersededAt', 'is', null)
    .orderBy('occurredAt')
    .execute();
  // Handed on, not lived: what the parent said or concluded is no word of the child's own.
  return rows.map(({ id, kind, occurredAt, validTo, ...memory }) => ({
    ...memory,
    agentId,
    kind: 'observation' as const,
    source: `inherited:${parentId}:${kind}`,
    externalKey: `inherited:${id}`,
    occurredAt: occurredAt.toISOString(),
    ...(validTo && { past: { validTo: validTo.toISOString() } }),
  }));
}

/** What called it into being is the first thing of its own that it remembers. */
function called(whisperId: string, agentId: string, whisper: { text: string; receivedAt: Date }): NewMemory {
  return {
    agentId,
    kind: 'whisper',
    text: whisper.text,
    importance: calledImportance,
    source: `whisper:${whisperId}`,
    externalKey: whisperId,
    occurredAt: whisper.receivedAt.toISOString(),
  };
}
const calledImportance = 8;
