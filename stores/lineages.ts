import { sql } from 'kysely';
import type { Executor } from './database.ts';

/**
 * Who holds the ego of one that is not there (any more): the nearest ancestor that lives, else the lineage's first agent,
 * whose account is the lineage's pool also when it is retired.
 * @returns undefined for a first agent, whose ego stays where it is
 */
export async function heirOf(db: Executor, agentId: string): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    with recursive above as (
      select p.id, p.parent_id, p.state, 1 as steps from agents a join agents p on p.id = a.parent_id where a.id = ${agentId}
      union all
      select p.id, p.parent_id, p.state, steps + 1 from above join agents p on p.id = above.parent_id
    )
    select id from above order by (state = 'retired' and parent_id is not null), (state = 'retired'), steps limit 1`.execute(
    db,
  );
  return rows[0]?.id;
}
