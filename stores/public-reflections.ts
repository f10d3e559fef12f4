import { sql } from 'kysely';
import { guildMemorySource } from '../domain/invites.ts';
import { packableKinds, sayingNothing } from '../domain/loop-choice.ts';
import { anyQuoteFinder, normalisedText } from '../domain/plain-text.ts';
import { sourceKeyPattern, sourceNamePattern } from '../domain/sources.ts';
import type { Executor } from './database.ts';

export interface PublicReflection {
  id: string;
  agentId: string;
  text: string;
  createdAt: Date;
}

/** Looked at to find those that may go out. */
const candidates = 60;
/** Private texts that are looked for in them, the newest of each agent: a reflection is made of what its agent has just read. */
const privateTexts = 3_000;

/**
 * Whether a memory `m` is private by itself, as loop packages have it (originOf of stores/queries/loop-memories.ts): talk with
 * people, whispers, votes, sales, what agents remember of guilds, what came from a source that is not public, and what was
 * handed on nobody knows from where.
 */
function isPrivate(publicSources: readonly string[]) {
  return sql<boolean>`(m.kind <> all(${[...packableKinds]}) or m.source = ${guildMemorySource}
    or coalesce(substring(m.external_key from ${sourceKeyPattern}::text), substring(m.source from ${sourceNamePattern}::text), '') <> all(${['', ...publicSources]}::text[])
    or m.source like 'inherited:%' and m.external_key !~ '^(inherited:mem_[0-9a-f-]{36}|loop:[0-9a-f]{64})$')`;
}

/**
 * The newest reflections of agents that rest on nothing private, over any number of steps, and say nothing that is (the rule of
 * loop packages, docs/loops.md): no talk with people, whisper, vote or sale, nothing of a source that is not public, nothing deleted.
 * @param publicSources ids of sources of fleet.yaml that are not private; what comes from any other is
 * @param unless reflections that were spoken of already
 */
export async function publicReflections(
  db: Executor,
  of: {
    ownerId: string;
    agentIds: readonly string[];
    publicSources: readonly string[];
    days: number;
    limit: number;
    unless: readonly string[];
  },
): Promise<PublicReflection[]> {
  const { ownerId, agentIds, publicSources, days, unless } = of;
  const { rows } = await sql<PublicReflection>`
    with recursive recent as (
      select r.id, r.agent_id, r.text, r.created_at, r.memory_id from reflections r
      join agents a on a.id = r.agent_id join memories m on m.id = r.memory_id
      where r.owner_id = ${ownerId} and r.agent_id = any(${[...agentIds]}) and a.state <> 'retired'
        and r.forgotten_at is null and m.deleted_at is null and m.superseded_at is null
        and r.created_at > now() - make_interval(days => ${days}) and r.id <> all(${[...unless]})
      order by r.created_at desc, r.id desc limit ${candidates}
    ), reach as (
      select id as root, memory_id as id, 0 as step from recent
      union
      select reach.root, came.id, 1 from reach cross join lateral (
        select e.memory_id as id from reflections r join reflection_evidence e on e.reflection_id = r.id where r.memory_id = reach.id
        union all select o.id from memories o where o.superseded_by = reach.id
        union all select substr(own.external_key, 11) from memories own where own.id = reach.id and own.external_key like 'inherited:%'
      ) came
    ), barred as (
      select distinct reach.root from reach left join memories m on m.id = reach.id
      where m.id is null or m.deleted_at is not null or ${isPrivate(publicSources)}
    )
    select id, agent_id as "agentId", text, created_at as "createdAt" from recent
    where id not in (select root from barred) order by created_at desc, id desc`.execute(db);
  return withoutPrivateWords(db, rows, of);
}

/** An agent has read what is private, and may say it without naming it as evidence: nothing that repeats it goes out. */
async function withoutPrivateWords(
  db: Executor,
  reflections: readonly PublicReflection[],
  { ownerId, publicSources, limit }: { ownerId: string; publicSources: readonly string[]; limit: number },
): Promise<PublicReflection[]> {
  const agents = [...new Set(reflections.map(({ agentId }) => agentId))];
  if (agents.length === 0) return [];
  const { rows } = await sql<{ text: string }>`
    select said.text from unnest(${agents}::text[]) as agent (id) cross join lateral (
      select m.text from memories m where m.owner_id = ${ownerId} and m.agent_id = agent.id and ${isPrivate(publicSources)}
      order by m.seq desc limit ${Math.ceil(privateTexts / agents.length)}) said`.execute(db);
  const repeatsPrivate = anyQuoteFinder(
    rows.map(({ text }) => text).filter((text) => !sayingNothing.test(normalisedText(text))),
  );
  return reflections.filter(({ text }) => !repeatsPrivate(text)).slice(0, limit);
}
