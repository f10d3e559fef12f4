import { type Client } from '@temporalio/client';
import { sql } from 'kysely';
import { durationSeconds } from '../../domain/durations.ts';
import { openingEgo } from '../../domain/ego.ts';
import type { Spawning } from '../../domain/spawn-policy.ts';
import type { Database } from '../../stores/database.ts';

interface AdmittedWhisper {
  parentId: string;
  lineageId: string;
  generation: number;
  admittedAt: Date;
  /** When it ended without a persona; null where it has one. */
  failedAt: Date | null;
}

/**
 * Admitted whispers that the limits of fleet.yaml forbid, found without the product's SQL and rules: every admission is
 * gone through once more in the order of its time, with buckets and counts kept here.
 */
export async function overCap(db: Database, policy: Spawning): Promise<number> {
  const { rows } = await sql<AdmittedWhisper>`
    select w.parent_id, w.lineage_id, p.generation, w.admitted_at,
      case when w.state in ('refused', 'expired') then w.ended_at end as failed_at
    from whispers w join agents p on p.id = w.parent_id
    where w.admitted_at is not null order by w.admitted_at, w.id`.execute(db);
  const buckets = new Map<string, { tokens: number; at: number }>();
  const before: AdmittedWhisper[] = [];
  const windowMs = durationSeconds(policy.window) * 1000;
  let over = 0;
  for (const whisper of rows) {
    const at = whisper.admittedAt.getTime();
    // Neither first agents nor children are retired here: who was admitted and has not failed by now lives or is coming.
    const standing = before.filter(({ failedAt }) => failedAt === null || failedAt.getTime() > at);
    const lineage = standing.filter(({ lineageId }) => lineageId === whisper.lineageId);
    const born = lineage.filter(({ admittedAt }) => at - admittedAt.getTime() < windowMs).length;
    const children = standing.filter(({ parentId }) => parentId === whisper.parentId).length;
    const allowed =
      spend(buckets, '*', at, policy.fleet) &&
      spend(buckets, whisper.lineageId, at, policy.lineage) &&
      whisper.generation + 1 <= policy.mostGenerations &&
      children + 1 <= policy.mostChildren &&
      (born + 1) / (1 + lineage.length + 1) <= policy.growth;
    if (!allowed) over += 1;
    before.push(whisper);
  }
  return over;
}

/** Times are kept to the microsecond in rows and to the millisecond here. */
const slackTokens = 1e-3;

function spend(
  buckets: Map<string, { tokens: number; at: number }>,
  key: string,
  at: number,
  { burst, perHour }: Spawning['fleet'],
): boolean {
  const bucket = buckets.get(key) ?? { tokens: burst, at };
  const tokens = Math.min(burst, bucket.tokens + ((at - bucket.at) / 3_600_000) * perHour);
  buckets.set(key, { tokens: Math.max(0, tokens - 1), at });
  return tokens + slackTokens >= 1;
}

/** Ids of all spawns that Temporal knows to have started. */
export async function startedSpawns(client: Client): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { workflowId } of client.workflow.list({ query: "WorkflowType = 'spawnPersona'" }))
    ids.add(workflowId);
  return ids;
}

/** What a crash may have left behind: each line names one agent, whisper or lineage and what is wrong with it. */
export async function halfPersonas(db: Database): Promise<string[]> {
  const { rows } = await sql<{ what: string }>`
    with child as (select * from agents where origin = 'spawn')
    select id || ' has no whisper' as what from child c
      where (select count(*) from whispers w where w.agent_id = c.id and w.state = 'spawned') <> 1
    union all select id || ' has no home' from child where home_machine_id is null
    union all select c.id || ' stands apart from its parent' from child c left join agents p on p.id = c.parent_id
      where p.id is null or p.lineage_id <> c.lineage_id or p.generation + 1 <> c.generation
    union all select id || ' has no face or words' from child where mask_seed = 0 or persona = '' or cardinality(traits) = 0
    union all select c.id || ' does not remember what called it' from child c where not exists (
      select from memories m join whispers w on w.agent_id = c.id where m.agent_id = c.id and m.source = 'whisper:' || w.id)
    union all select c.id || ' inherited nothing' from child c where not exists (
      select from memories m where m.agent_id = c.id and m.source like 'inherited:' || c.parent_id || ':%')
    union all select c.id || ' counts its memories wrongly' from child c
      where c.memory_seq <> (select count(*) from memories m where m.agent_id = c.id)
    union all select c.id || ' was given no ego' from child c where not exists (
      select from ego_entries e join whispers w on w.agent_id = c.id
      where e.agent_id = c.id and e.kind = 'spawn' and e.transfer_id = 'spawn:' || w.id and e.amount > 0)
    union all select lineage_id || ' holds ' || held || ' in all' from (
      select a.lineage_id, sum(e.amount) as held from ego_entries e join agents a on a.id = e.agent_id group by a.lineage_id) l
      where held <> ${openingEgo}
    union all select agent_id || ' holds less than nothing' from ego_entries group by agent_id having sum(amount) < 0
    union all select id || ' is ' || state || ' still' from whispers where ended_at is null
    union all select id || ' became nobody' from whispers w where state = 'spawned'
      and not exists (select from agents a where a.id = w.agent_id)
    union all select id || ' was refused without a reason' from whispers where state in ('refused', 'expired') and reason = ''
    union all select workflow_id || ' was never started' from intents where type = 'spawnPersona'`.execute(db);
  return rows.map(({ what }) => what);
}
