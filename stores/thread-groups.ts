import { sql } from 'kysely';
import type { ThreadKind } from '../domain/states.ts';
import type { ThreadLink } from '../domain/thread-links.ts';
import type { KnownThread, Regrouped, ThreadGroup } from '../domain/threads.ts';
import type { Executor } from './database.ts';
import { appendEvents, type NewEvent } from './events.ts';
import { newId } from './ids.ts';

export interface GroupsToApply {
  ownerId: string;
  kind: ThreadKind;
  /** As they stood before; locked by the caller. */
  known: readonly KnownThread[];
  regrouped: Regrouped;
  /** The links that were taken. */
  links: readonly ThreadLink[];
  /** Threads whose last memory happened before this are over; undefined: a thread stays as it was, live or ended. */
  quietBefore: Date | undefined;
}

export interface GroupChanges {
  opened: number;
  grown: number;
  split: number;
  ended: number;
}

/** Writes what `regroup` found in the caller's transaction: rows of threads, who stands where, links, and what to tell. */
export async function applyGroups(tx: Executor, input: GroupsToApply): Promise<GroupChanges> {
  const { ownerId, kind, known, regrouped, links } = input;
  const idOf = new Map(regrouped.groups.map((group) => [group, group.threadId ?? newId('thread')]));
  const opening = regrouped.groups.filter(({ threadId }) => threadId === undefined);
  await openThreads(tx, input, opening, idOf);
  const added = await placeMembers(tx, input, idOf);
  await insertLinks(tx, kind, links);

  const gone = regrouped.gone.map(({ threadId, into }) => ({ id: threadId, into: into && idOf.get(into)! }));
  const ended = await endGone(tx, gone);
  const quiet = await recount(tx, [...idOf.values()], input.quietBefore);

  const event = (type: string, subject: string, data: Record<string, unknown>): NewEvent => ({
    ownerId,
    type: `thread.${type}`,
    subject,
    data: { kind, ...data },
  });
  const splits = Map.groupBy(
    opening.filter(({ parentId }) => parentId !== undefined),
    ({ parentId }) => parentId!,
  );
  const grown = regrouped.groups.filter((group) => group.threadId !== undefined && (added.get(group) ?? 0) > 0);
  await appendEvents(tx, [
    ...opening.map((group) =>
      event('opened', idOf.get(group)!, { memories: group.members.length, parent: group.parentId ?? null }),
    ),
    ...grown.map((group) => event('grown', group.threadId!, { memories: added.get(group) })),
    ...[...splits].map(([parent, groups]) => event('split', parent, { into: groups.map((group) => idOf.get(group)!) })),
    ...gone
      .filter(({ id }) => ended.has(id))
      .map(({ id, into }) => event('ended', id, { by: into === undefined ? 'emptied' : 'merged', into: into ?? null })),
    ...quiet.map((id) => event('ended', id, { by: 'quiet' })),
  ]);
  const byId = new Set(known.map(({ id }) => id));
  return {
    opened: opening.length,
    grown: grown.filter(({ threadId }) => byId.has(threadId!)).length,
    split: splits.size,
    ended: ended.size + quiet.length,
  };
}

/** Live at first, or, where it splits from a thread, live or ended as that one. */
async function openThreads(
  tx: Executor,
  { ownerId, kind }: GroupsToApply,
  opening: readonly ThreadGroup[],
  idOf: ReadonlyMap<ThreadGroup, string>,
): Promise<void> {
  if (opening.length === 0) return;
  await sql`
    insert into threads (id, owner_id, kind, parent_id, state, ended_at, ended_by)
    select new.id, ${ownerId}, ${kind}, new.parent_id, coalesce(p.state, 'live'), p.ended_at, p.ended_by
    from unnest(${opening.map((group) => idOf.get(group)!)}::text[], ${opening.map((group) => group.parentId ?? null)}::text[])
      as new (id, parent_id)
    left join threads p on p.id = new.parent_id`.execute(tx);
}

/** @returns how many memories are new to threads, by group */
async function placeMembers(
  tx: Executor,
  { kind, known, regrouped }: GroupsToApply,
  idOf: ReadonlyMap<ThreadGroup, string>,
): Promise<Map<ThreadGroup, number>> {
  const before = new Map(known.flatMap(({ id, members }) => members.map((member) => [member, id] as const)));
  const fresh: Array<{ memoryId: string; threadId: string }> = [];
  const moved: Array<{ memoryId: string; threadId: string }> = [];
  const added = new Map<ThreadGroup, number>();
  const staying = new Set<string>();
  for (const group of regrouped.groups) {
    const threadId = idOf.get(group)!;
    for (const memoryId of group.members) {
      staying.add(memoryId);
      const stood = before.get(memoryId);
      if (stood === undefined) {
        fresh.push({ memoryId, threadId });
        added.set(group, (added.get(group) ?? 0) + 1);
      } else if (stood !== threadId) {
        moved.push({ memoryId, threadId });
      }
    }
  }
  const left = [...before.keys()].filter((memoryId) => !staying.has(memoryId));
  if (left.length > 0)
    await tx.deleteFrom('threadMemories').where('kind', '=', kind).where('memoryId', 'in', left).execute();
  if (moved.length > 0) {
    await sql`update thread_memories m set thread_id = new.thread_id
      from unnest(${moved.map(({ memoryId }) => memoryId)}::text[], ${moved.map(({ threadId }) => threadId)}::text[])
        as new (memory_id, thread_id)
      where m.memory_id = new.memory_id and m.kind = ${kind}`.execute(tx);
  }
  if (fresh.length > 0) {
    await sql`insert into thread_memories (memory_id, kind, thread_id, score)
      select memory_id, ${kind}, thread_id, 0
      from unnest(${fresh.map(({ memoryId }) => memoryId)}::text[], ${fresh.map(({ threadId }) => threadId)}::text[])
        as new (memory_id, thread_id)`.execute(tx);
  }
  return added;
}

async function insertLinks(tx: Executor, kind: ThreadKind, links: readonly ThreadLink[]): Promise<void> {
  if (links.length === 0) return;
  await tx
    .insertInto('threadLinks')
    .values(
      links.map(({ memoryId, otherId, score, cosine, overlap, hours, opposition }) => ({
        kind,
        memoryId,
        otherId,
        score,
        cosine,
        overlap,
        hours,
        opposition: opposition === undefined ? null : JSON.stringify(opposition),
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** @returns those that lived until now */
async function endGone(
  tx: Executor,
  gone: ReadonlyArray<{ id: string; into: string | undefined }>,
): Promise<Set<string>> {
  if (gone.length === 0) return new Set();
  const { rows } = await sql<{ id: string; lived: boolean }>`
    update threads t set state = 'ended', ended_at = now(), ended_by = case when g.into_id is null then 'emptied' else 'merged' end,
      merged_into = g.into_id, memories = 0, agents = 0,
      title_memory_id = case when g.into_id is not null then t.title_memory_id end
    from unnest(${gone.map(({ id }) => id)}::text[], ${gone.map(({ into }) => into ?? null)}::text[]) as g (id, into_id),
      threads old
    where t.id = g.id and old.id = g.id
    returning t.id, old.state = 'live' as lived`.execute(tx);
  return new Set(rows.filter(({ lived }) => lived).map(({ id }) => id));
}

/** Counts, times, score and title of threads from what stands in them. @returns those that are over by their time, and were not */
async function recount(tx: Executor, ids: readonly string[], quietBefore: Date | undefined): Promise<string[]> {
  if (ids.length === 0) return [];
  await sql`
    update thread_memories m set score = best.score
    from (
      select side.memory_id, side.kind, max(side.score) as score from (
        select l.memory_id, l.kind, l.score from thread_links l join thread_memories s using (memory_id, kind)
          where s.thread_id = any(${[...ids]})
        union all
        select l.other_id, l.kind, l.score from thread_links l
          join thread_memories s on s.memory_id = l.other_id and s.kind = l.kind where s.thread_id = any(${[...ids]})
      ) side group by side.memory_id, side.kind
    ) best
    where m.memory_id = best.memory_id and m.kind = best.kind and m.score is distinct from best.score`.execute(tx);
  const { rows } = await sql<{ id: string; over: boolean }>`
    update threads t set memories = now.memories, agents = now.agents, first_at = now.first_at, last_at = now.last_at,
      score = now.score, title_memory_id = now.title
    from (
      select s.thread_id, count(*)::int as memories, count(distinct m.agent_id)::int as agents,
        min(m.occurred_at) as first_at, max(m.occurred_at) as last_at, avg(s.score) as score,
        (array_agg(m.id order by (m.id = o.title_memory_id) desc nulls last, m.importance desc, m.occurred_at, m.id))[1] as title
      from thread_memories s join memories m on m.id = s.memory_id join threads o on o.id = s.thread_id
      where s.thread_id = any(${[...ids]}) group by s.thread_id
    ) now
    where t.id = now.thread_id
    returning t.id, t.state = 'live' and t.last_at < ${quietBefore ?? null}::timestamptz as over`.execute(tx);
  if (quietBefore === undefined) return [];
  const over = rows.filter((row) => row.over).map(({ id }) => id);
  await sql`update threads set state = 'ended', ended_at = now(), ended_by = 'quiet' where id = any(${over})`.execute(
    tx,
  );
  // What came to a thread that was over may be of today.
  await sql`update threads set state = 'live', ended_at = null, ended_by = null
    where id = any(${[...ids]}) and state = 'ended' and last_at >= ${quietBefore}`.execute(tx);
  return over;
}
