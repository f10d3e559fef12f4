import { sql } from 'kysely';
import { cosine } from '../domain/embeddings.ts';
import { bornAgentId } from '../domain/ids.ts';
import type { Persona } from '../domain/personas.ts';
import { egoShareOf, type Spawning } from '../domain/spawn-policy.ts';
import type { Refusal, SpawnEnd } from '../domain/whispers.ts';
import { birth, lockAgents } from './agents.ts';
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

export interface BirthOfWhisper {
  whisperId: string;
  persona: Persona;
  /** Memories of the parent that the child is born with. */
  memoryIds: readonly string[];
  policy: Spawning;
  fleetVersion: number;
}

/**
 * Why a draft is not born though its whisper is under way. fallen: its name is taken, or one born since is too alike.
 * unjudged: somebody was born since, and the two cannot be compared, since a vector of one is not there.
 */
export type Unborn = 'fallen' | 'unjudged';

/** Rolls a birth back: the whisper is refused in a transaction of its own, or its draft is judged again or gives way. */
class Undone extends Error {
  readonly why: Refusal | Unborn;
  constructor(why: Refusal | Unborn) {
    super(typeof why === 'string' ? `the draft is ${why}` : why.reason);
    this.name = 'Undone';
    this.why = why;
  }
}

/**
 * The birth, all of it in one transaction: agent, inherited memories, its share of the parent's ego, the whisper's end, and
 * the wish for a plan. A second call finds the agent that is there.
 */
export async function giveBirth(db: Database, input: BirthOfWhisper): Promise<SpawnEnd | Unborn> {
  const memories = createMemoryStore(db);
  try {
    return await db.transaction().execute((tx) => giveBirthIn(tx, memories, input));
  } catch (err) {
    if (!(err instanceof Undone)) throw err;
    return typeof err.why === 'string' ? err.why : refuseWhisper(db, input.whisperId, err.why);
  }
}

async function giveBirthIn(
  tx: DatabaseTransaction,
  memories: ReturnType<typeof createMemoryStore>,
  { whisperId, persona, memoryIds, policy, fleetVersion }: BirthOfWhisper,
): Promise<SpawnEnd> {
  // One birth at a time, so that each sees the personas born before it.
  await takeLock(tx, 'birth');
  const asked = await tx
    .selectFrom('whispers')
    .select(['ownerId', 'parentId', 'lineageId', 'state'])
    .where('id', '=', whisperId)
    .executeTakeFirstOrThrow();
  if (!isOpen(asked.state)) return standing(tx, whisperId);
  const { ownerId, parentId, lineageId } = asked;
  const agentId = bornAgentId(persona.name);
  if (agentId === undefined) throw new Undone({ code: 'NO_NAME', reason: `${persona.name} makes no id` });
  // The plan's row before any agent's, as whoever computes one does.
  await requestReplan(tx, { ownerId, reason: 'a persona was born' });
  // Agents before the whisper, as whoever forgets what it says.
  await lockAgents(tx, [parentId, lineageId]);
  const parent = await tx.selectFrom('agents').selectAll().where('id', '=', parentId).executeTakeFirstOrThrow();
  const whisper = await tx
    .selectFrom('whispers')
    .select(['ownerId', 'text', 'state', 'receivedAt', 'judgedAt', 'judgedBy'])
    .where('id', '=', whisperId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (!isOpen(whisper.state)) throw new Undone({ code: 'CANCELED', reason: 'it has ended meanwhile' });
  if (parent.state === 'retired') throw new Undone(parentRetired(parentId));
  const unborn = await unbornBy(tx, whisper, persona, agentId, policy.mostAlike);
  if (unborn !== undefined) throw new Undone(unborn);
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

/** Holds the draft against those that were born since it was judged. @returns undefined where it stands alone */
async function unbornBy(
  tx: Executor,
  whisper: { ownerId: string; judgedAt: Date | null; judgedBy: string | null },
  persona: Persona,
  agentId: string,
  mostAlike: number,
): Promise<Unborn | undefined> {
  const { ownerId, judgedAt, judgedBy } = whisper;
  const taken = await tx
    .selectFrom('agents')
    .select('id')
    .where((eb) => eb.or([eb('id', '=', agentId), eb('name', '=', persona.name)]))
    .executeTakeFirst();
  if (taken) return 'fallen';
  if (judgedAt === null || judgedBy === null) return 'unjudged';
  // Who has no usable vector is compared with nobody, here as in the judging.
  const { rows: born } = await sql<{ vector: Buffer | null }>`
    select e.vector from agents a
    cross join lateral (select sha256(convert_to(a.persona, 'UTF8')) as content_hash) p
    left join embeddings e on e.owner_id = a.owner_id and e.model = ${judgedBy} and e.content_hash = p.content_hash
    where a.owner_id = ${ownerId} and a.created_at > ${judgedAt}::timestamptz - ${bornUnseen}::interval
      and not exists (select from unusable_texts u where u.owner_id = a.owner_id and u.model = ${judgedBy}
        and u.content_hash = p.content_hash and u.marked_at > now() - interval '7 days')`.execute(tx);
  if (born.length === 0) return undefined;
  const own = await tx
    .selectFrom('embeddings')
    .select('vector')
    .where('ownerId', '=', ownerId)
    .where('model', '=', judgedBy)
    .where('contentHash', '=', contentHash(persona.persona))
    .executeTakeFirst();
  if (!own) return 'unjudged';
  const vector = vectorOf(own.vector);
  if (born.some((other) => other.vector !== null && cosine(vectorOf(other.vector), vector) >= mostAlike))
    return 'fallen';
  return born.some((other) => other.vector === null) ? 'unjudged' : undefined;
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
