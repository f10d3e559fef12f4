import { setImmediate as turn } from 'node:timers/promises';
import { sql } from 'kysely';
import { quoteFinder } from '../domain/plain-text.ts';
import type { Database, Executor } from './database.ts';
import { packagesOf, packagesTelling } from './queries/loop-packages.ts';
import { type Quoted, quotedBy } from './quotations.ts';

/** Texts looked at before the process turns to others. */
const atOnce = 200;

/** Whether texts say what is to be forgotten, each looked at once: what is known of a text holds wherever it stands. */
export interface QuoteSearch {
  of: readonly string[];
  says: (text: string) => boolean;
  /** Loop packages of the agent that were looked through; they never change. */
  looked: Set<string>;
  /** Those of them that hold it. */
  telling: Set<string>;
}

function quoteSearch(of: readonly string[]): QuoteSearch {
  const finders = of.map(quoteFinder);
  const known = new Map<string, boolean>();
  return {
    of,
    looked: new Set(),
    telling: new Set(),
    says(text) {
      let found = known.get(text);
      if (found === undefined) {
        found = finders.some((finds) => finds(text));
        known.set(text, found);
      }
      return found;
    },
  };
}

/**
 * Looks at all that the agent of a memory has said, before its row is locked: thousands of texts take seconds. It decides
 * nothing. Whoever holds the lock reads the texts again and finds most of them known; what came since is looked at then.
 */
export async function searchAhead(
  db: Database,
  { ownerId, id }: { ownerId: string; id: string },
): Promise<QuoteSearch | undefined> {
  const { rows } = await sql<Quoted & { agentId: string }>`
    select id, agent_id, text, external_key, content_hash from memories where id = ${id} and owner_id = ${ownerId}`.execute(
    db,
  );
  const [memory] = rows;
  if (!memory) return undefined;
  const { agentId } = memory;
  const search = quoteSearch([memory, ...(await quotedBy(db, memory))].map(({ text }) => text));
  await packagesSaying(db, { ownerId, agentId }, search);
  for (const texts of [
    sql<{ text: string }>`select text from reflections where agent_id = ${agentId} and text <> ''`,
    sql<{ text: string }>`select answer as text from messages where agent_id = ${agentId} and answer <> ''`,
    sql<{ text: string }>`select c.prompt->>'question' as text from run_calls c join runs r on r.id = c.run_id
      where r.agent_id = ${agentId} and c.prompt->>'question' is not null`,
  ]) {
    for (const [place, { text }] of (await texts.execute(db)).rows.entries()) {
      search.says(text);
      if (place % atOnce === 0) await turn();
    }
  }
  return search;
}

/** Archives read by one statement; each has up to some MiB. */
const archivesAtOnce = 4;

/** Packages of the agent that hold the very text; what was looked through before is not read again. */
export async function packagesSaying(
  db: Executor,
  whose: { ownerId: string; agentId: string },
  { of, looked, telling }: QuoteSearch,
): Promise<string[]> {
  const fresh = (await packagesOf(db, whose)).filter((id) => !looked.has(id));
  for (let from = 0; from < fresh.length; from += archivesAtOnce) {
    const ids = fresh.slice(from, from + archivesAtOnce);
    for (const id of await packagesTelling(db, ids, of)) telling.add(id);
    for (const id of ids) looked.add(id);
  }
  return [...telling].sort();
}

/** The search that was made ahead, unless something else is looked for by now, such as after a consolidation. */
export function searchFor(asked: readonly Quoted[], ahead: QuoteSearch | undefined): QuoteSearch {
  const of = asked.map(({ text }) => text);
  const same = ahead?.of.length === of.length && ahead.of.every((text, i) => text === of[i]);
  return same ? ahead : quoteSearch(of);
}
