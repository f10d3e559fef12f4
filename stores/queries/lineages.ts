import { sql } from 'kysely';
import type { AgentOrigin, AgentState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import type { PageRequest } from './page.ts';

export interface LineageMember {
  id: string;
  name: string;
  origin: AgentOrigin;
  parentId: string | null;
  lineageId: string;
  generation: number;
  state: AgentState;
  /** Micro-ego. */
  ego: number;
}

/**
 * Members of lineages that have children, or of the one an agent belongs to: lineage by lineage, each by id. `after` is
 * `<lineage>/<agent>`.
 */
export async function listLineages(
  db: Executor,
  page: PageRequest & { agentId?: string | undefined },
): Promise<LineageMember[]> {
  const [afterLineage = '', afterId = ''] = page.after?.split('/') ?? [];
  const of = page.agentId ?? null;
  const { rows } = await sql<LineageMember>`
    select a.id, a.name, a.origin, a.parent_id, a.lineage_id, a.generation, a.state,
      (select coalesce(sum(e.amount), 0)::bigint from ego_entries e where e.agent_id = a.id) as ego
    from agents a
    where a.owner_id = ${page.ownerId} and (a.lineage_id, a.id) > (${afterLineage}, ${afterId})
      and case when ${of}::text is null
        then exists (select from agents c where c.lineage_id = a.lineage_id and c.parent_id is not null)
        else a.lineage_id = (select b.lineage_id from agents b where b.id = ${of} and b.owner_id = ${page.ownerId}) end
    order by a.lineage_id, a.id limit ${page.limit}`.execute(db);
  return rows;
}
