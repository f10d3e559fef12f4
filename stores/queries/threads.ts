import { sql } from 'kysely';
import type { Opposition } from '../../domain/contradictions.ts';
import type { MemoryKind, ThreadEnd, ThreadKind, ThreadState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface ThreadView {
  id: string;
  kind: ThreadKind;
  state: ThreadState;
  endedBy: ThreadEnd | null;
  /** Quotes one of its memories; null where none is left to quote. */
  title: string | null;
  score: number;
  memories: number;
  agents: number;
  /** The thread that it split from. */
  parentId: string | null;
  /** The thread that it became part of. */
  mergedInto: string | null;
  /** When the first and the last of its memories happened; null where none is left. */
  firstAt: string | null;
  lastAt: string | null;
  openedAt: string;
  endedAt: string | null;
}

export interface ThreadLinkView {
  memoryId: string;
  otherId: string;
  score: number;
  cosine: number;
  overlap: number;
  hours: number;
  opposition: Opposition | null;
}

export interface ThreadMemoryView {
  memoryId: string;
  agentId: string;
  agentName: string;
  kind: MemoryKind;
  text: string;
  importance: number;
  occurredAt: string;
  score: number;
}

export interface ThreadDetail extends ThreadView {
  /** In order of when they happened. */
  members: ThreadMemoryView[];
  /** Which memory was linked to which, the best first. */
  links: ThreadLinkView[];
}

/** Letters of a title; a longer memory is cut. */
const titleLength = 120;

function threadQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('threads')
    .leftJoin('memories as quoted', (join) =>
      join.onRef('quoted.id', '=', 'threads.titleMemoryId').on('quoted.deletedAt', 'is', null),
    )
    .where('threads.ownerId', '=', ownerId)
    .select(['threads.id', 'threads.kind', 'threads.state', 'threads.endedBy', 'threads.score'])
    .select(['threads.memories', 'threads.agents', 'threads.parentId', 'threads.mergedInto'])
    .select(['threads.firstAt', 'threads.lastAt', 'threads.openedAt', 'threads.endedAt'])
    .select(
      sql<
        string | null
      >`case when length(quoted.text) > ${titleLength} then left(quoted.text, ${titleLength - 1}) || '…'
        else quoted.text end`.as('title'),
    );
}
type ThreadRow = Awaited<ReturnType<ReturnType<typeof threadQuery>['execute']>>[number];

function threadView(row: ThreadRow): ThreadView {
  return {
    ...row,
    kind: row.kind as ThreadKind,
    state: row.state as ThreadState,
    endedBy: row.endedBy as ThreadEnd | null,
    firstAt: iso(row.firstAt),
    lastAt: iso(row.lastAt),
    openedAt: iso(row.openedAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last opened first. */
export async function listThreads(
  db: Executor,
  page: PageRequest & {
    agentId?: string | undefined;
    memoryId?: string | undefined;
    kind?: ThreadKind | undefined;
    state?: ThreadState | undefined;
  },
): Promise<ThreadView[]> {
  const { agentId, memoryId } = page;
  let query = threadQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('threads.id', '<', page.after);
  if (page.kind !== undefined) query = query.where('threads.kind', '=', page.kind);
  if (page.state !== undefined) query = query.where('threads.state', '=', page.state);
  if (memoryId !== undefined) {
    query = query.where('threads.id', 'in', (eb) =>
      eb.selectFrom('threadMemories').select('threadId').where('memoryId', '=', memoryId),
    );
  }
  if (agentId !== undefined) {
    query = query.where('threads.id', 'in', (eb) =>
      eb
        .selectFrom('threadMemories')
        .innerJoin('memories', 'memories.id', 'threadMemories.memoryId')
        .select('threadMemories.threadId')
        .where('memories.agentId', '=', agentId),
    );
  }
  const rows = await query.orderBy('threads.id', 'desc').limit(page.limit).execute();
  return rows.map(threadView);
}

export async function findThread(db: Executor, ownerId: string, id: string): Promise<ThreadDetail | undefined> {
  const row = await threadQuery(db, ownerId).where('threads.id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const members = await db
    .selectFrom('threadMemories')
    .innerJoin('memories', 'memories.id', 'threadMemories.memoryId')
    .innerJoin('agents', 'agents.id', 'memories.agentId')
    .where('threadMemories.threadId', '=', id)
    .select(['memories.id as memoryId', 'memories.agentId', 'agents.name as agentName', 'memories.kind'])
    .select(['memories.text', 'memories.importance', 'memories.occurredAt', 'threadMemories.score'])
    .orderBy('memories.occurredAt')
    .orderBy('memories.id')
    .execute();
  const links = await db
    .selectFrom('threadLinks')
    .innerJoin('threadMemories', (join) =>
      join
        .onRef('threadMemories.memoryId', '=', 'threadLinks.memoryId')
        .onRef('threadMemories.kind', '=', 'threadLinks.kind'),
    )
    .where('threadMemories.threadId', '=', id)
    .select(['threadLinks.memoryId', 'threadLinks.otherId', 'threadLinks.score', 'threadLinks.cosine'])
    .select(['threadLinks.overlap', 'threadLinks.hours', 'threadLinks.opposition'])
    .orderBy('threadLinks.score', 'desc')
    .orderBy('threadLinks.memoryId')
    .orderBy('threadLinks.otherId')
    .execute();
  return {
    ...threadView(row),
    members: members.map((member) => ({
      ...member,
      kind: member.kind as MemoryKind,
      occurredAt: iso(member.occurredAt),
    })),
    links: links.map((link) => ({ ...link, opposition: link.opposition as Opposition | null })),
  };
}

/** Memories that no thread has been looked for yet. */
export async function countUnwoven(db: Executor, ownerId: string): Promise<number> {
  const { count } = await db
    .selectFrom('unwovenMemories')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('ownerId', '=', ownerId)
    .executeTakeFirstOrThrow();
  return count;
}
