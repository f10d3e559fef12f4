import { sql } from 'kysely';
import { requestIdOfMemory } from '../domain/whispers.ts';
import type { Executor } from './database.ts';
import { messagesOf } from './forgotten-messages.ts';
import { livingAgain, type Quoted, quotationsOf, quotedBy } from './quotations.ts';
import { packagesSaying, type QuoteSearch, searchFor } from './quote-search.ts';

/** `forget`: also what rests on it without quoting it, and what rests on that. */
export type ForgottenDependents = 'keep' | 'forget';

export interface Forgotten {
  /** Rest on what goes and keep their texts. */
  reflections: string[];
  /** Answers to these messages cite what goes and keep their texts. */
  messages: string[];
  /**
   * Reflections, and messages with their answers, that lost what they said, also as memories; and where a consolidated
   * memory was asked for, the memories that it quotes.
   */
  forgotten: string[];
  /** Memories of the owner with the very same text: told twice, or inherited; and of it as a whisper. Each is for its own request. */
  copies: string[];
  /** Loop packages made of the agent that hold the very text: files that were given away keep it. */
  packages: string[];
}

export interface ForgettableMemory extends Quoted {
  ownerId: string;
  agentId: string;
}

interface Going {
  /** What a person wants gone: the memory, and where it quotes others in their place, those too. */
  asked: Quoted[];
  /** Whether a text says what they want gone. */
  quotes: (text: string) => boolean;
  /** All memories that lose their texts, those asked for first. */
  memoryIds: string[];
  /** What was quoted with them, and lives again. */
  back: string[];
  told: Forgotten;
}

/**
 * What goes with a memory: to a fixpoint, since a quotation may quote what goes only because it quotes something else.
 * `ahead` only saves time under the lock; without it everything is looked at here. The words of what was asked for are looked for, no others: what a reflection says beside its quote is its own.
 */
export async function whatGoes(
  tx: Executor,
  memory: ForgettableMemory,
  { dependents, ahead }: { dependents: ForgottenDependents; ahead: QuoteSearch | undefined },
): Promise<Going> {
  const { agentId } = memory;
  const asked = [memory, ...(await quotedBy(tx, memory))];
  const search = searchFor(asked, ahead);
  const { says: quotes } = search;
  const { rows: reflections } = await sql<{ id: string; memoryId: string; text: string }>`
    select id, memory_id, text from reflections where agent_id = ${agentId} and text <> '' order by id`.execute(tx);
  const going = new Set(asked.map(({ id }) => id));
  const said = await messagesOf(tx, { agentId, memoryIds: [...going] }, quotes);
  for (const reply of said.replies) going.add(reply);
  for (const { memoryId, text } of reflections) if (quotes(text)) going.add(memoryId);
  for (let before = 0; before < going.size; ) {
    before = going.size;
    for (const id of await quotationsOf(tx, { agentId, ids: [...going] })) going.add(id);
    if (dependents === 'forget') for (const { memoryId } of await restingOn(tx, going)) going.add(memoryId);
  }
  const memoryIds = [...going];
  const told = {
    reflections: (await restingOn(tx, going)).map(({ id }) => id),
    messages: (await messagesOf(tx, { agentId, memoryIds }, quotes)).citing,
    forgotten: [
      ...reflections.filter(({ memoryId }) => going.has(memoryId) && memoryId !== memory.id).map(({ id }) => id),
      ...said.quoting,
      ...asked.slice(1).map(({ id }) => id),
    ],
    copies: await copiesOf(tx, memory.ownerId, asked, going),
    packages: await packagesSaying(tx, memory, search),
  };
  return { asked, quotes, memoryIds, back: await livingAgain(tx, memoryIds), told };
}

/** Reflections that rest on one of these memories and do not go with them. */
async function restingOn(tx: Executor, going: ReadonlySet<string>): Promise<Array<{ id: string; memoryId: string }>> {
  const { rows } = await sql<{ id: string; memoryId: string }>`
    select r.id, r.memory_id from reflections r where r.text <> '' and r.memory_id <> all(${[...going]})
      and exists (select from reflection_evidence e where e.reflection_id = r.id and e.memory_id = any(${[...going]}))
    order by r.id`.execute(tx);
  return rows;
}

async function copiesOf(
  tx: Executor,
  ownerId: string,
  asked: readonly Quoted[],
  going: ReadonlySet<string>,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from (
      select id from memories where owner_id = ${ownerId} and text <> ''
        and content_hash = any(${asked.map((memory) => memory.contentHash)}::bytea[])
      union
      select m.id from whispers w join memories m on m.agent_id = w.agent_id and m.external_key = w.id
      where w.owner_id = ${ownerId} and m.text <> ''
        and w.request_id = any(${asked.flatMap(({ externalKey }) => requestIdOfMemory(externalKey) ?? [])}::text[])
    ) copies where id <> all(${[...going]})
    order by id`.execute(tx);
  return rows.map(({ id }) => id);
}
