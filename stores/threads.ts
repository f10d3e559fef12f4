import { sql } from 'kysely';
import { type ThreadKind, threadKinds } from '../domain/states.ts';
import type { ThreadLink } from '../domain/thread-links.ts';
import { bestPerMemory, type KnownThread, regroup } from '../domain/threads.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { applyGroups } from './thread-groups.ts';
import { takeLock } from './locks.ts';

/** A thread of more memories would be about everything. */
const mostThreadMembers = 64;
/** Links that one memory brings to a thread. */
const linksPerMemory = 3;

export interface Weave {
  ownerId: string;
  /** The memories that were compared; each is woven once, whoever comes first. */
  memoryIds: readonly string[];
  links: readonly ThreadLink[];
  /** Threads whose last memory happened before this are over. */
  quietBefore: Date;
  /** A link between memories further apart than its kind allows now holds no longer, in milliseconds. */
  reachMs: Readonly<Record<ThreadKind, number>>;
}

export interface Woven {
  /** Memories of the call that nobody else had woven. */
  woven: number;
  opened: number;
  grown: number;
  split: number;
  ended: number;
}

export function createThreadStore(db: Database) {
  return {
    /**
     * Takes memories off the list of the unwoven and puts their links into threads, in one transaction: a second execution
     * finds nothing left to do. Locks agents, then threads, each in the order of their ids, as everybody does.
     */
    async weave(input: Weave): Promise<Woven> {
      return db.transaction().execute(async (tx) => {
        await takeLock(tx, 'threads', input.ownerId);
        const involved = [...new Set(input.links.flatMap(({ memoryId, otherId }) => [memoryId, otherId]))];
        // Who deletes or forgets one of them takes its agent's row first, so none of them leaves in between.
        await sql`select id from agents where owner_id = ${input.ownerId} and id in (
          select agent_id from memories where id = any(${involved})) order by id for share`.execute(tx);
        const fresh = await takeUnwoven(tx, input.ownerId, input.memoryIds);
        const living = await livingOf(tx, input.ownerId, involved);
        const links = input.links.filter(
          ({ memoryId, otherId }) => fresh.has(memoryId) && living.has(memoryId) && living.has(otherId),
        );
        await lockThreadsOf(tx, [...new Set(links.flatMap(({ memoryId, otherId }) => [memoryId, otherId]))]);
        const woven: Woven = { woven: fresh.size, opened: 0, grown: 0, split: 0, ended: 0 };
        for (const kind of threadKinds) {
          const own = bestPerMemory(
            links.filter((link) => link.kind === kind),
            linksPerMemory,
          );
          if (own.length === 0) continue;
          const threads = await threadsOf(tx, kind, [...new Set(own.flatMap((link) => [link.memoryId, link.otherId]))]);
          const holding = await withoutStale(tx, kind, threads, input.reachMs[kind]);
          const regrouped = regroup(holding, own, mostThreadMembers);
          const bearing = new Map(own.map((link) => [`${link.memoryId} ${link.otherId}`, link]));
          const changes = await applyGroups(tx, {
            ownerId: input.ownerId,
            kind,
            known: holding,
            regrouped,
            links: regrouped.taken.map(({ memoryId, otherId }) => bearing.get(`${memoryId} ${otherId}`)!),
            quietBefore: input.quietBefore,
          });
          woven.opened += changes.opened;
          woven.grown += changes.grown;
          woven.split += changes.split;
          woven.ended += changes.ended;
        }
        return woven;
      });
    },

    /** Ends threads whose last memory happened before a time, so many at most. @returns how many it ended */
    async endQuiet(ownerId: string, quietBefore: Date, limit: number): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ id: string }>`
          update threads set state = 'ended', ended_at = now(), ended_by = 'quiet'
          where id in (select id from threads where owner_id = ${ownerId} and state = 'live' and last_at < ${quietBefore}
            order by id limit ${limit} for update)
          returning id`.execute(tx);
        await appendEvents(
          tx,
          rows.map(({ id }) => ({ ownerId, type: 'thread.ended', subject: id, data: { by: 'quiet' } })),
        );
        return rows.length;
      });
    },
  };
}
export type ThreadStore = ReturnType<typeof createThreadStore>;

/**
 * Takes memories out of their threads, whose other members stay together as far as their own links hold them; also off the
 * list of the unwoven. Rows are locked in the order of their ids, all before the first is changed, as who weaves does. In
 * the caller's transaction, which holds the row of the memories' agent.
 */
export async function leaveThreads(tx: Executor, ownerId: string, memoryIds: readonly string[]): Promise<void> {
  await takeUnwoven(tx, ownerId, memoryIds);
  await lockThreadsOf(tx, memoryIds);
  for (const memoryId of memoryIds) {
    const stands = await tx.selectFrom('threadMemories').select('kind').where('memoryId', '=', memoryId).execute();
    for (const { kind } of stands) await leaveThread(tx, { ownerId, kind: kind as ThreadKind, memoryId });
  }
}

async function leaveThread(
  tx: Executor,
  { ownerId, kind, memoryId }: { ownerId: string; kind: ThreadKind; memoryId: string },
): Promise<void> {
  const threads = await threadsOf(tx, kind, [memoryId]);
  await tx.deleteFrom('threadMemories').where('memoryId', '=', memoryId).where('kind', '=', kind).execute();
  const known = threads.map((thread) => ({
    ...thread,
    members: thread.members.filter((member) => member !== memoryId),
    links: thread.links.filter((link) => link.memoryId !== memoryId && link.otherId !== memoryId),
  }));
  await applyGroups(tx, {
    ownerId,
    kind,
    known,
    regrouped: regroup(known, [], mostThreadMembers),
    links: [],
    quietBefore: undefined,
  });
}

/** @returns which of them were still to be woven; their rows go in the order of their ids */
async function takeUnwoven(tx: Executor, ownerId: string, memoryIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ memoryId: string }>`
    with due as materialized (
      select memory_id from unwoven_memories where owner_id = ${ownerId} and memory_id = any(${[...memoryIds]})
      order by memory_id for update)
    delete from unwoven_memories u using due where u.memory_id = due.memory_id returning u.memory_id`.execute(tx);
  return new Set(rows.map(({ memoryId }) => memoryId));
}

async function livingOf(tx: Executor, ownerId: string, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`
    select id from memories where owner_id = ${ownerId} and id = any(${[...ids]})
      and deleted_at is null and superseded_at is null`.execute(tx);
  return new Set(rows.map(({ id }) => id));
}

interface StoredLink {
  memoryId: string;
  otherId: string;
  score: number;
  hours: number;
}
export interface StoredThread extends KnownThread {
  links: readonly StoredLink[];
}

/** Locks the threads in which these memories stand, in the order of their ids. */
async function lockThreadsOf(tx: Executor, memoryIds: readonly string[]): Promise<void> {
  await sql`select id from threads where id in (
    select thread_id from thread_memories where memory_id = any(${[...memoryIds]})) order by id for update`.execute(tx);
}

/** The threads of a kind in which these memories stand, with all that is in them; locked by the caller. */
async function threadsOf(tx: Executor, kind: ThreadKind, memoryIds: readonly string[]): Promise<StoredThread[]> {
  const { rows: threads } = await sql<{ id: string; openedAt: Date }>`
    select id, opened_at from threads where id in (
      select thread_id from thread_memories where kind = ${kind} and memory_id = any(${[...memoryIds]}))
    order by id`.execute(tx);
  if (threads.length === 0) return [];
  const ids = threads.map(({ id }) => id);
  const members = await tx
    .selectFrom('threadMemories')
    .select(['threadId', 'memoryId'])
    .where('threadId', 'in', ids)
    .orderBy('memoryId')
    .execute();
  const { rows: links } = await sql<StoredLink & { threadId: string }>`
    select m.thread_id, l.memory_id, l.other_id, l.score, l.hours
    from thread_memories m join thread_links l on l.memory_id = m.memory_id and l.kind = m.kind
    where m.thread_id = any(${ids}) order by l.memory_id, l.other_id`.execute(tx);
  const membersOf = Map.groupBy(members, ({ threadId }) => threadId);
  const linksOf = Map.groupBy(links, ({ threadId }) => threadId);
  return threads.map(({ id, openedAt }) => ({
    id,
    openedAt: openedAt.toISOString(),
    members: (membersOf.get(id) ?? []).map(({ memoryId }) => memoryId),
    links: linksOf.get(id) ?? [],
  }));
}

/** fleet.yaml may allow less than it did: what spans too long a time falls apart. */
async function withoutStale(
  tx: Executor,
  kind: ThreadKind,
  threads: readonly StoredThread[],
  reachMs: number,
): Promise<StoredThread[]> {
  const holds = ({ hours }: StoredLink) => Math.abs(hours) * 3_600_000 <= reachMs;
  const stale = threads.flatMap(({ links }) => links.filter((link) => !holds(link)));
  if (stale.length > 0) {
    await sql`delete from thread_links l using unnest(${stale.map(({ memoryId }) => memoryId)}::text[],
        ${stale.map(({ otherId }) => otherId)}::text[]) as gone (memory_id, other_id)
      where l.kind = ${kind} and l.memory_id = gone.memory_id and l.other_id = gone.other_id`.execute(tx);
  }
  return threads.map((thread) => ({ ...thread, links: thread.links.filter(holds) }));
}
