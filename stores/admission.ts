import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { spawnWorkflowId } from '../domain/ids.ts';
import { type Spawning, windowSeconds } from '../domain/spawn-policy.ts';
import type { WhisperSource, WhisperState } from '../domain/whispers.ts';
import type { Executor } from './database.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';

export interface NewWhisper {
  ownerId: string;
  source: WhisperSource;
  /** Whose child is asked for. */
  parentId: string;
  text: string;
  /** The refused or expired whisper that is asked again. */
  retryOf?: string | undefined;
  /** A token's name, an agent, a source, a cluster. */
  requestedBy: string;
  /** Made before the request: the same one is the same whisper, whatever comes of it. */
  requestId: string;
}

export interface ReceivedWhisper {
  id: string;
  state: WhisperState;
  reasonCode: string;
  reason: string;
  /** False where this request was received before. */
  received: boolean;
}

/**
 * Receives a whisper in the caller's transaction; API, replies, sources and clusters all come through here. One statement
 * counts, decides, stores the whisper with its reason, spends the buckets' tokens and asks for the workflow.
 *
 * What is limited is counted from rows, so nothing leaks through a crash: a whisper under way counts as the agent it may
 * become, one that ended without a persona counts no more. Only a bucket's token stays spent.
 * @throws NOT_FOUND where the owner has no such agent, CONFLICT where the request came before with other content
 */
export async function receiveWhisper(tx: Executor, whisper: NewWhisper, policy: Spawning): Promise<ReceivedWhisper> {
  const { ownerId, parentId } = whisper;
  const retryOf = whisper.retryOf ?? null;
  const hash = bodyHash(whisper);
  // Before the statement, not in it: under read committed a statement sees what was committed when it began, so one that
  // waited inside itself would count without the one it waited for.
  await takeLock(tx, 'admission', ownerId);
  // In the order of their ids, as everybody takes agents; else the whisper's keys would take the parent first.
  await sql`select from agents where owner_id = ${ownerId}
    and (id = ${parentId} or id = (select lineage_id from agents where id = ${parentId})) order by id for key share`.execute(
    tx,
  );
  const id = newId('whisper');
  const workflowPrefix = spawnWorkflowId('');
  const { rows } = await sql<ReceivedWhisper & { bodyHash: Buffer | null }>`
    with moment as (
      select clock_timestamp() as at
    ), known as (
      select id, state, reason_code, reason, body_hash from whispers
      where owner_id = ${ownerId} and request_id = ${whisper.requestId}
    ), parent as (
      select id, lineage_id, generation, state from agents where id = ${parentId} and owner_id = ${ownerId}
    ), under_way as (
      select w.parent_id from whispers w join parent p on p.lineage_id = w.lineage_id
      where w.state in ('received', 'awaiting_approval')
    ), counts as (
      select
        (select count(*) from agents a where a.parent_id = p.id and a.state <> 'retired')
          + (select count(*) from under_way u where u.parent_id = p.id) as children,
        (select count(*) from agents a where a.lineage_id = p.lineage_id and a.state <> 'retired')
          + (select count(*) from under_way) as living,
        (select count(*) from whispers w where w.lineage_id = p.lineage_id
          and w.state in ('received', 'awaiting_approval', 'spawned')
          and w.admitted_at > m.at - make_interval(secs => ${windowSeconds(policy)})) as born
      from parent p, moment m
    ), buckets as (
      select wanted.key, least(wanted.burst, coalesce(
        b.tokens + greatest(0, extract(epoch from m.at - b.refilled_at)) * wanted.per_hour / 3600, wanted.burst)) as tokens
      from parent p cross join moment m
      cross join lateral (values
        ('*', ${policy.fleet.burst}::float8, ${policy.fleet.perHour}::float8),
        (p.lineage_id, ${policy.lineage.burst}::float8, ${policy.lineage.perHour}::float8)) as wanted (key, burst, per_hour)
      left join spawn_buckets b on b.owner_id = ${ownerId} and b.key = wanted.key
    ), judged as (
      select p.id as parent_id, p.lineage_id, case
        when p.state = 'retired' then array['PARENT_RETIRED', format('%s is retired', p.id)]
        when p.generation + 1 > ${policy.mostGenerations}::int then array['TOO_DEEP',
          format('%s is of generation %s; spawning.mostGenerations is %s', p.id, p.generation, ${policy.mostGenerations}::int)]
        when c.children + 1 > ${policy.mostChildren}::int then array['TOO_MANY_CHILDREN',
          format('%s has %s children; spawning.mostChildren is %s', p.id, c.children, ${policy.mostChildren}::int)]
        when c.born + 1 > ${policy.growth}::float8 * (c.living + 1) then array['GROWING_TOO_FAST',
          format('%s were born within %s in the lineage of %s, which has %s living; spawning.growth is %s',
            c.born, ${policy.window}::text, p.lineage_id, c.living, ${policy.growth}::float8)]
        when (select tokens < 1 from buckets where key = p.lineage_id) then array['LINEAGE_RATE',
          format('the lineage of %s has spent its tries; spawning.lineage gives %s an hour', p.lineage_id, ${policy.lineage.perHour}::float8)]
        when (select tokens < 1 from buckets where key = '*') then array['FLEET_RATE',
          format('the fleet has spent its tries; spawning.fleet gives %s an hour', ${policy.fleet.perHour}::float8)]
      end as refusal
      from parent p, counts c
    ), stored as (
      insert into whispers (id, owner_id, source, parent_id, lineage_id, text, retry_of, requested_by, request_id, body_hash,
        state, reason_code, reason, received_at, admitted_at, ended_at)
      select ${id}, ${ownerId}, ${whisper.source}, parent_id, lineage_id, ${whisper.text}, ${retryOf}, ${whisper.requestedBy},
        ${whisper.requestId}, ${hash}, case when refusal is null then 'received' else 'refused' end,
        coalesce(refusal[1], ''), coalesce(refusal[2], ''), at,
        case when refusal is null then at end, case when refusal is not null then at end
      from judged, moment where not exists (select from known)
      on conflict (owner_id, request_id) do nothing
      returning id, parent_id, state, reason_code, reason
    ), spent as (
      insert into spawn_buckets (owner_id, key, tokens, refilled_at)
      select ${ownerId}, key, tokens - 1, at from buckets, moment where exists (select from stored where state = 'received')
      on conflict (owner_id, key) do update set tokens = excluded.tokens, refilled_at = excluded.refilled_at
    ), asked as (
      insert into intents (workflow_id, type, args)
      select ${workflowPrefix} || id, 'spawnPersona', jsonb_build_array(jsonb_build_object('whisperId', id))
      from stored where state = 'received'
    ), told as (
      insert into events (owner_id, type, subject, data)
      select ${ownerId}, 'whisper.' || state, id,
        jsonb_build_object('parentId', parent_id, 'code', reason_code, 'source', ${whisper.source}::text) from stored
    )
    select id, state, reason_code, reason, true as received, null::bytea as body_hash from stored
    union all
    select id, state, reason_code, reason, false, body_hash from known`.execute(tx);
  const [row] = rows;
  if (!row) throw new DomainError('NOT_FOUND', `no agent ${parentId}`);
  const { bodyHash: before, ...received } = row;
  if (before !== null && !before.equals(hash)) {
    throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
  }
  return received;
}

function bodyHash({ source, parentId, text, retryOf }: NewWhisper): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([source, parentId, text, retryOf ?? null]))
    .digest();
}
