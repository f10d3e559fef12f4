import { sql } from 'kysely';
import { driftLimits, outputMemoryKinds } from '../domain/drift.ts';
import type { Database, Executor } from './database.ts';
import { asItCame, gaveWay } from './quotations.ts';

/** One thing an agent said, with its place in all it said. */
export interface AgentOutput {
  agentId: string;
  /** From 0, by time. */
  place: number;
  /** How much the agent has said in all. */
  total: number;
  id: string;
  contentHash: Buffer;
  text: string;
  /** Of the model asked for; null where it has none yet. */
  vector: Buffer | null;
}

/**
 * Of an agent's memories its own words, as it said them: neither what others replied to it elsewhere, nor a quotation that took their place, nor what it was born
 * with. What its limit took was said all the same: without it an agent would be measured against ever later words.
 */
const ownWords = sql<boolean>`kind = any(${[...outputMemoryKinds]}) and text <> '' and source not like 'channel:%' and ${asItCame}
  and (deleted_at is null and superseded_at is null or ${gaveWay})`;

/** A text that is told twice counts once, when it was said first. */
const saidBy = (agentIds: readonly string[]) => sql`
  select distinct on (agent_id, content_hash) agent_id, owner_id, content_hash, id, text, recorded_at as at from memories
  where agent_id = any(${[...agentIds]}) and ${ownWords} order by agent_id, content_hash, recorded_at, id`;

export function createOutputStore(db: Database) {
  return {
    /**
     * The first and the last outputs of agents, by agent and place.
     * @param first so many of the beginning
     * @param last so many of the end
     */
    async firstAndLast(input: {
      agentIds: readonly string[];
      model: string;
      first: number;
      last: number;
    }): Promise<AgentOutput[]> {
      const { rows } = await sql<AgentOutput>`
        with placed as (
          select s.*, row_number() over (partition by agent_id order by at, id) - 1 as place,
            count(*) over (partition by agent_id) as total
          from (${saidBy(input.agentIds)}) s
        )
        select p.agent_id, p.place, p.total, p.id, p.content_hash, p.text, e.vector from placed p
        left join embeddings e on e.owner_id = p.owner_id and e.model = ${input.model} and e.content_hash = p.content_hash
        where p.place < ${input.first}::int or p.place >= p.total - ${input.last}::int
        order by p.agent_id, p.place`.execute(db);
      return rows;
    },

    /** The last `most` things each of the agents said, the newest first. */
    last: (agentIds: readonly string[], most: number) => lastOutputs(db, agentIds, most),

    /** How many outputs of agents teach a persona space: of the first ones every other, see `teaches` of domain/drift.ts. */
    async count(agentIds: readonly string[]): Promise<number> {
      const { rows } = await sql<{ outputs: number }>`
        select coalesce(sum((least(n, ${driftLimits.calibration}) + 1) / 2), 0)::bigint as outputs
        from (select count(*) as n from (${saidBy(agentIds)}) s group by agent_id) counted`.execute(db);
      return rows[0]!.outputs;
    },
  };
}
export type OutputStore = ReturnType<typeof createOutputStore>;

/** The last `most` things each of the agents said, the newest first. */
export async function lastOutputs(
  db: Executor,
  agentIds: readonly string[],
  most: number,
): Promise<Array<{ id: string; agentId: string; text: string }>> {
  const { rows } = await sql<{ id: string; agentId: string; text: string }>`
    select id, agent_id, text from (
      select s.*, row_number() over (partition by agent_id order by at desc, id desc) as n
      from (${saidBy(agentIds)}) s
    ) numbered where n <= ${most}::int order by agent_id, n`.execute(db);
  return rows;
}

/** Texts of outputs by id, as far as they are still there. */
export async function outputTexts(
  db: Executor,
  ownerId: string,
  ids: readonly string[],
): Promise<Map<string, { agentId: string; text: string }>> {
  const { rows } = await sql<{ id: string; agentId: string; text: string }>`
    select id, agent_id, text from memories
    where owner_id = ${ownerId} and id = any(${[...ids]}) and ${ownWords}`.execute(db);
  return new Map(rows.map(({ id, ...said }) => [id, said]));
}

/** How much of each agent's own words there are. */
export async function countOutputs(db: Executor, agentIds: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await sql<{ agentId: string; outputs: number }>`
    select agent_id, count(*) as outputs from (${saidBy(agentIds)}) s group by agent_id`.execute(db);
  return new Map(rows.map(({ agentId, outputs }) => [agentId, outputs]));
}
