import { sql } from 'kysely';
import type { Database } from '../../stores/database.ts';

/** What holds of threads whatever has happened: each line names a breach. Empty where all is well. */
export async function threadFaults(db: Database): Promise<string[]> {
  const { rows } = await sql<{ fault: string }>`
    select 'a deleted memory stands in ' || s.thread_id as fault
      from thread_memories s join memories m on m.id = s.memory_id where m.deleted_at is not null
    union all
    select 'a link leads out of ' || a.thread_id
      from thread_links l join thread_memories a on a.memory_id = l.memory_id and a.kind = l.kind
      join thread_memories b on b.memory_id = l.other_id and b.kind = l.kind where a.thread_id <> b.thread_id
    union all
    select 'linked twice: ' || l.memory_id from thread_links l
      join thread_links back on back.memory_id = l.other_id and back.other_id = l.memory_id and back.kind = l.kind
    union all
    select 'nothing links ' || s.memory_id from thread_memories s where not exists (
      select from thread_links l where l.kind = s.kind and s.memory_id in (l.memory_id, l.other_id))
    union all
    select 'one agent alone in ' || t.id from threads t join thread_memories s on s.thread_id = t.id
      join memories m on m.id = s.memory_id group by t.id having count(distinct m.agent_id) < 2
    union all
    select 'another kind in ' || t.id from threads t join thread_memories s on s.thread_id = t.id where s.kind <> t.kind
    union all
    select 'counted wrongly: ' || t.id from threads t left join lateral (
      select count(*) as memories, count(distinct m.agent_id) as agents, min(m.occurred_at) as first_at, max(m.occurred_at) as last_at
      from thread_memories s join memories m on m.id = s.memory_id where s.thread_id = t.id) now on true
      where t.memories <> now.memories or t.agents <> now.agents
        or (now.memories > 0 and (t.first_at, t.last_at) is distinct from (now.first_at, now.last_at))
    union all
    select 'live without memories: ' || id from threads where state = 'live' and memories < 2
    union all
    select 'the title of ' || t.id || ' quotes no memory of it' from threads t where t.memories > 0 and not exists (
      select from thread_memories s where s.thread_id = t.id and s.memory_id = t.title_memory_id)`.execute(db);
  return rows.map(({ fault }) => fault);
}

/** Threads by what they hold, so that two databases can be compared: ids are made anew in each. */
export async function threadsByContent(db: Database): Promise<string[]> {
  const { rows } = await sql<{ content: string }>`
    select t.kind || ' ' || t.state || ': ' || string_agg(m.agent_id || '/' || m.external_key, ' ' order by m.agent_id, m.external_key) as content
    from threads t join thread_memories s on s.thread_id = t.id join memories m on m.id = s.memory_id
    group by t.id order by content`.execute(db);
  return rows.map(({ content }) => content);
}

/** Every row that weaving writes: what a second weaving must leave as it was. */
export async function threadRows(db: Database): Promise<string> {
  const { rows } = await sql<{ all: string }>`
    select coalesce(string_agg(line, E'\n' order by line), '') as all from (
      select t::text as line from threads t union all select s::text from thread_memories s
      union all select l::text from thread_links l union all select u::text from unwoven_memories u
      union all select e.id || e.type from events e where e.type like 'thread.%') lines`.execute(db);
  return rows[0]!.all;
}
