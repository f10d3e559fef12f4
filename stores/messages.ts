import { sql } from 'kysely';
import {
  type AnswerOutcome,
  conversationImportance,
  messageLimits,
  replyImportance,
  type Turn,
} from '../domain/conversations.ts';
import { DomainError } from '../domain/errors.ts';
import type { Rung } from '../domain/ladder.ts';
import type { Spawning } from '../domain/spawn-policy.ts';
import { endedMessageStates, isEndedMessage, type MessageState } from '../domain/states.ts';
import { replyRequestId } from '../domain/whispers.ts';
import { receiveWhisper } from './admission.ts';
import { lockAgents } from './agents.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { takeLock } from './locks.ts';
import { createMemoryStore, type NewMemory } from './memories.ts';

export interface NewMessage {
  messageId: string;
  ownerId: string;
  agentId: string;
  conversationId: string;
  authorId: string;
  author: string;
  text: string;
  contentHash: string;
  /** Once it is answered, its words also whisper for a child of the agent. Whoever said it asked for that. */
  whisper?: boolean;
}

export interface OpenMessage {
  messageId: string;
  ownerId: string;
  agentId: string;
  conversationId: string;
  author: string;
  text: string;
  wantedModelId: string;
  queue: string;
}

export type BegunMessage =
  | { kind: 'open'; message: OpenMessage }
  | { kind: 'ended'; messageId: string; state: MessageState; reason: string };

/** What an inference attempt stores as its step's result. */
export interface AnswerStep extends AnswerOutcome {
  modelId: string;
  machineId: string;
  seconds: number;
  /** All memories the prompt was made of, earlier turns too; absent in steps of 0.1.0. */
  shown?: string[];
}

export type MessageEnd = { state: 'failed' | 'canceled'; reason: string };

const openStates = ['received', 'answering'] as const satisfies readonly MessageState[];
const openColumns = ['ownerId', 'agentId', 'conversationId', 'author', 'text', 'wantedModelId', 'queue'] as const;

export function createMessageStore(db: Database) {
  const memories = createMemoryStore(db);
  return {
    /** Writes the message once; whoever comes again with its id gets it as it stands. */
    async begin(message: NewMessage, queueOf: (modelId: string) => string | undefined): Promise<BegunMessage> {
      return db.transaction().execute(async (tx) => {
        const { messageId, ownerId, agentId } = message;
        const agent = await tx
          .selectFrom('agents')
          .select(['modelId', 'state'])
          .where('id', '=', agentId)
          .where('ownerId', '=', ownerId)
          .executeTakeFirst();
        if (!agent) return { kind: 'ended', messageId, state: 'failed', reason: `no agent ${agentId}` };
        const queue = queueOf(agent.modelId);
        const reason =
          agent.state === 'retired'
            ? `${agentId} is retired`
            : agent.state === 'dormant'
              ? `${agentId} is dormant`
              : queue === undefined
                ? `fleet.yaml names no model ${agent.modelId}`
                : '';
        const { messageId: id, ...fields } = message;
        const inserted = await tx
          .insertInto('messages')
          .values({
            id,
            ...fields,
            wantedModelId: agent.modelId,
            modelId: agent.modelId,
            queue: queue ?? '',
            ...(reason === '' ? {} : { state: 'failed', reason, endedAt: sql<Date>`now()` }),
          })
          .onConflict((conflict) => conflict.column('id').doNothing())
          .executeTakeFirst();
        const row = await tx
          .selectFrom('messages')
          .select([...openColumns, 'state', 'reason'])
          .where('id', '=', id)
          .executeTakeFirstOrThrow();
        const state = row.state as MessageState;
        if (inserted.numInsertedOrUpdatedRows === 1n)
          await appendEvents(tx, [
            {
              ownerId,
              type: state === 'failed' ? 'message.failed' : 'message.received',
              subject: id,
              data: { agentId, reason },
            },
          ]);
        if (isEndedMessage({ state })) return { kind: 'ended', messageId, state, reason: row.reason };
        return { kind: 'open', message: { ...row, messageId } };
      });
    },

    /** What an attempt needs to know; undefined once the message has ended. */
    async open(messageId: string): Promise<(OpenMessage & { ageSeconds: number; authorId: string }) | undefined> {
      const row = await db
        .selectFrom('messages')
        .select(openColumns)
        .select('authorId')
        .select(sql<number>`extract(epoch from now() - created_at)::float8`.as('ageSeconds'))
        .where('id', '=', messageId)
        .where('state', 'in', [...openStates])
        .executeTakeFirst();
      return row && { ...row, messageId };
    },

    /** The latest answered turns of the conversation before this message, oldest first, with what the agent remembers of them already. */
    async turns({
      messageId,
      ownerId,
      agentId,
      conversationId,
    }: OpenMessage): Promise<{ turns: Turn[]; memoryIds: string[] }> {
      const rows = await db
        .selectFrom('messages')
        .select(['author', 'text', 'answer', 'saidMemoryId', 'replyMemoryId'])
        .where('ownerId', '=', ownerId)
        .where('agentId', '=', agentId)
        .where('conversationId', '=', conversationId)
        .where('state', '=', 'answered')
        .where('text', '<>', '')
        .where('createdAt', '<', (own) =>
          own.selectFrom('messages as asked').select('asked.createdAt').where('asked.id', '=', messageId),
        )
        .orderBy('createdAt', 'desc')
        .limit(messageLimits.turns)
        .execute();
      return {
        turns: rows.map(({ author, text, answer }) => ({ author, text, answer })).reverse(),
        memoryIds: rows.flatMap(({ saidMemoryId, replyMemoryId }) =>
          [saidMemoryId, replyMemoryId].filter((id) => id !== null),
        ),
      };
    },

    /** An attempt has its sequence and works: on which machine shows, and each attempt leaves an event. */
    async working(messageId: string, machineId: string, attempt: number): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('messages')
          .set({ state: 'answering', machineId, attempt, startedAt: sql<Date>`coalesce(started_at, now())` })
          .where('id', '=', messageId)
          .where('state', 'in', [...openStates])
          .returning(['ownerId', 'agentId', 'modelId'])
          .executeTakeFirst();
        if (!row) return;
        const { ownerId, ...of } = row;
        await appendEvents(tx, [
          { ownerId, type: 'message.answering', subject: messageId, data: { ...of, machineId, attempt } },
        ]);
      });
    },

    /** Puts the message on a rung of the ladder, also when it has waited. */
    async moveTo(messageId: string, rung: Rung): Promise<void> {
      await db
        .updateTable('messages')
        .set({
          modelId: rung.modelId,
          queue: rung.queue,
          degraded: rung.degraded,
          reason: rung.degraded
            ? sql<string>`wanted_model_id || ${` is on no living machine; ${rung.modelId} stands in`}::text`
            : '',
        })
        .where('id', '=', messageId)
        .where('state', 'in', [...openStates])
        .execute();
    },

    /** Says why it waits. */
    async waits(messageId: string, reason: string): Promise<void> {
      await db
        .updateTable('messages')
        .set({ state: 'received', reason })
        .where('id', '=', messageId)
        .where('state', 'in', [...openStates])
        .execute();
    },

    /**
     * One transaction: the answer, the memories it cites that are there and the agent's own, what the agent remembers of
     * both sides, and the message's end. A message that has ended already is left alone, so a second execution changes
     * nothing. An answer that was shown what a person has had forgotten since is thrown away. Where whoever spoke asked for it,
     * the words that were said whisper in the same transaction; what was answered has no part in that.
     * @param step absent: a person had something forgotten that it was shown
     * @returns `answering` where no answer is left: it is to be asked for anew
     */
    async complete(messageId: string, step: AnswerStep | undefined, spawning: Spawning): Promise<MessageState> {
      return db.transaction().execute(async (tx) => {
        // The agent's row first, as whoever forgets takes it: nothing is forgotten between the look and the end.
        await lockForEnd(tx, messageId);
        const message = await tx
          .selectFrom('messages')
          .select(['ownerId', 'agentId', 'authorId', 'author', 'text', 'state', 'createdAt', 'degraded', 'whisper'])
          .where('id', '=', messageId)
          .forUpdate()
          .executeTakeFirst();
        if (!message) throw new DomainError('NOT_FOUND', `no message ${messageId}`);
        const state = message.state as MessageState;
        if (isEndedMessage({ state })) return state;
        if (step === undefined) return 'answering';
        const { ownerId, agentId } = message;
        if (await forgottenSince(tx, step)) {
          await tx.deleteFrom('stepResults').where('workId', '=', messageId).execute();
          return 'answering';
        }
        const said: NewMemory = {
          agentId,
          externalKey: `message:${messageId}:said`,
          kind: 'conversation',
          text: message.text,
          importance: conversationImportance,
          source: message.author,
          occurredAt: message.createdAt.toISOString(),
        };
        const reply: NewMemory = {
          ...said,
          externalKey: `message:${messageId}:reply`,
          kind: 'reply',
          text: step.text,
          importance: replyImportance,
          source: agentId,
        };
        await memories.add(ownerId, [said, reply], tx);
        await cite(tx, { messageId, ownerId, agentId }, step);
        const { text: answer, source, promptVersion, seed, tokens, seconds, machineId } = step;
        await tx
          .updateTable('messages')
          .set({
            state: 'answered',
            ...(step.cut ? { reason: 'ended at the token limit' } : {}),
            endedAt: sql<Date>`now()`,
            saidMemoryId: await memoryIdOf(tx, said),
            replyMemoryId: await memoryIdOf(tx, reply),
            answer,
            source,
            promptVersion,
            seed,
            tokens,
            seconds,
            machineId,
          })
          .where('id', '=', messageId)
          .execute();
        await appendEvents(tx, [
          {
            ownerId,
            type: 'message.answered',
            subject: messageId,
            data: { agentId, degraded: message.degraded, source, machineId },
          },
        ]);
        if (message.whisper) {
          const { authorId: requestedBy, text } = message;
          const requestId = replyRequestId(messageId);
          const whisper = { ownerId, source: 'reply' as const, parentId: agentId, text, requestedBy, requestId };
          await receiveWhisper(tx, whisper, spawning);
        }
        return 'answered';
      });
    },

    /** Ends a message without an answer; one that has ended already stays as it is. */
    async end(messageId: string, { state, reason }: MessageEnd): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('messages')
          .set({ state, reason, endedAt: sql<Date>`now()` })
          .where('id', '=', messageId)
          .where('state', 'not in', [...endedMessageStates])
          .returning(['ownerId', 'agentId'])
          .executeTakeFirst();
        if (!row) return;
        // An answer that came too late to be said is nobody's: it would be out of the reach of forgetting.
        await tx.deleteFrom('stepResults').where('workId', '=', messageId).execute();
        const { ownerId, agentId } = row;
        await appendEvents(tx, [{ ownerId, type: `message.${state}`, subject: messageId, data: { agentId, reason } }]);
      });
    },
  };
}
export type MessageStore = ReturnType<typeof createMessageStore>;

/** What the end of a message changes besides its row, in the order of everybody else. */
async function lockForEnd(tx: Executor, messageId: string): Promise<void> {
  const { rows } = await sql<{ ownerId: string; agentId: string; lineageId: string; whisper: boolean }>`
    select a.owner_id, a.id as agent_id, a.lineage_id, m.whisper from messages m join agents a on a.id = m.agent_id
    where m.id = ${messageId}`.execute(tx);
  const [of] = rows;
  if (!of) return;
  // Whoever is admitted holds it before any agent's row.
  if (of.whisper) await takeLock(tx, 'admission', of.ownerId);
  await lockAgents(tx, of.whisper ? [of.agentId, of.lineageId] : [of.agentId]);
}

/** Whether a person has had forgotten what the answer was made of. */
async function forgottenSince(tx: Executor, { shown, citations }: AnswerStep): Promise<boolean> {
  const ids = shown ?? citations.map(({ memoryId }) => memoryId);
  const { rows } = await sql`
    select from memories where id = any(${ids}) and text = '' limit 1`.execute(tx);
  return rows.length > 0;
}

/** Only what is there, living, and the agent's own is cited. */
async function cite(
  tx: DatabaseTransaction,
  { messageId, ownerId, agentId }: { messageId: string; ownerId: string; agentId: string },
  { citations }: AnswerStep,
): Promise<void> {
  if (citations.length === 0) return;
  const found = await tx
    .selectFrom('memories')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', agentId)
    .where('deletedAt', 'is', null)
    .where(
      'id',
      'in',
      citations.map(({ memoryId }) => memoryId),
    )
    .execute();
  const there = new Set(found.map(({ id }) => id));
  const rows = citations
    .filter(({ memoryId }) => there.has(memoryId))
    .map((citation, ordinal) => ({ messageId, ordinal, ...citation }));
  if (rows.length > 0) await tx.insertInto('messageCitations').values(rows).execute();
}

async function memoryIdOf(tx: Executor, { agentId, externalKey }: NewMemory): Promise<string | null> {
  const row = await tx
    .selectFrom('memories')
    .select('id')
    .where('agentId', '=', agentId)
    .where('externalKey', '=', externalKey)
    .executeTakeFirst();
  return row?.id ?? null;
}
