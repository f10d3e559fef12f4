import { sql } from 'kysely';
import type { AnswerSource } from '../../domain/conversations.ts';
import type { MessageState } from '../../domain/states.ts';
import { type RefusalCode, replyRequestId, type WhisperState } from '../../domain/whispers.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface MessageView {
  id: string;
  agentId: string;
  conversationId: string;
  author: string;
  text: string;
  state: MessageState;
  reason: string;
  answer: string;
  source: AnswerSource | null;
  citations: CitedMemory[];
  wantedModelId: string;
  modelId: string;
  degraded: boolean;
  machineId: string | null;
  attempt: number;
  promptVersion: string | null;
  seed: number | null;
  tokens: number | null;
  seconds: number | null;
  saidMemoryId: string | null;
  replyMemoryId: string | null;
  /** The whisper made of its words; null where none was asked for, or it is not answered. */
  whisper: MadeWhisper | null;
  /** To the microsecond: lists page by it. */
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

export interface MadeWhisper {
  id: string;
  state: WhisperState;
  /** Why it ended without a persona. */
  code: RefusalCode | null;
  reason: string;
  /** The persona it became. */
  agentId: string | null;
}

export interface CitedMemory {
  alias: string;
  memoryId: string;
  /** Empty once it has been forgotten. */
  text: string;
  occurredAt: string;
}

const exactTime = sql<string>`to_char(messages.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

function messageQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('messages')
    .select(['id', 'agentId', 'conversationId', 'author', 'text', 'state', 'reason', 'answer', 'source'])
    .select(['wantedModelId', 'modelId', 'degraded', 'machineId', 'attempt', 'promptVersion', 'seed', 'tokens'])
    .select(['seconds', 'saidMemoryId', 'replyMemoryId', 'startedAt', 'endedAt', exactTime.as('createdAt')])
    .where('ownerId', '=', ownerId);
}
type MessageRow = Awaited<ReturnType<ReturnType<typeof messageQuery>['execute']>>[number];

async function messageViews(db: Executor, ownerId: string, rows: readonly MessageRow[]): Promise<MessageView[]> {
  const ids = rows.map(({ id }) => id);
  const [cited, whispers] = await Promise.all([citationsOf(db, ids), whispersOf(db, ownerId, ids)]);
  return rows.map((row) => ({
    ...row,
    state: row.state as MessageState,
    source: row.source as AnswerSource | null,
    whisper: whispers.get(row.id) ?? null,
    citations: cited.get(row.id) ?? [],
    startedAt: row.startedAt && iso(row.startedAt),
    endedAt: row.endedAt && iso(row.endedAt),
  }));
}

async function citationsOf(db: Executor, messageIds: readonly string[]): Promise<Map<string, CitedMemory[]>> {
  const cited = new Map<string, CitedMemory[]>();
  if (messageIds.length === 0) return cited;
  const rows = await db
    .selectFrom('messageCitations')
    .innerJoin('memories', 'memories.id', 'messageCitations.memoryId')
    .select(['messageId', 'alias', 'memoryId', 'memories.text', 'memories.occurredAt'])
    .where('messageId', 'in', [...messageIds])
    .orderBy('messageId')
    .orderBy('ordinal')
    .execute();
  for (const { messageId, occurredAt, ...memory } of rows) {
    const list = cited.get(messageId) ?? [];
    list.push({ ...memory, occurredAt: iso(occurredAt) });
    cited.set(messageId, list);
  }
  return cited;
}

async function whispersOf(
  db: Executor,
  ownerId: string,
  messageIds: readonly string[],
): Promise<Map<string, MadeWhisper>> {
  if (messageIds.length === 0) return new Map();
  const messageOf = new Map(messageIds.map((id) => [replyRequestId(id), id]));
  const rows = await db
    .selectFrom('whispers')
    .select(['id', 'requestId', 'state', 'reasonCode', 'reason', 'agentId'])
    .where('ownerId', '=', ownerId)
    .where('requestId', 'in', [...messageOf.keys()])
    .execute();
  return new Map(
    rows.map(({ requestId, reasonCode, state, ...whisper }) => [
      messageOf.get(requestId)!,
      {
        ...whisper,
        state: state as WhisperState,
        code: reasonCode === '' ? null : (reasonCode as RefusalCode),
      },
    ]),
  );
}

export async function findMessage(db: Executor, ownerId: string, id: string): Promise<MessageView | undefined> {
  const rows = await messageQuery(db, ownerId).where('id', '=', id).execute();
  return (await messageViews(db, ownerId, rows))[0];
}

/** What was asked for under an id, whoever's it is: an id is made from its owner and key. */
export async function messageContent(db: Executor, ownerId: string, id: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('messages')
    .select('contentHash')
    .where('ownerId', '=', ownerId)
    .where('id', '=', id)
    .executeTakeFirst();
  return row?.contentHash;
}

/** Messages to an agent, the last first; `after` is the time and id of a message. */
export async function listMessages(
  db: Executor,
  page: PageRequest & { agentId: string; conversationId?: string | undefined },
): Promise<MessageView[]> {
  let query = messageQuery(db, page.ownerId).where('agentId', '=', page.agentId);
  if (page.conversationId !== undefined) query = query.where('conversationId', '=', page.conversationId);
  if (page.after !== undefined) {
    const [at, id] = page.after.split('|');
    query = query.where(sql<boolean>`(messages.created_at, messages.id) < (${at}::timestamptz, ${id})`);
  }
  const rows = await query.orderBy('messages.createdAt', 'desc').orderBy('id', 'desc').limit(page.limit).execute();
  return messageViews(db, page.ownerId, rows);
}
