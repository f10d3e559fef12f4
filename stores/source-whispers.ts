import { sql } from 'kysely';
import { isDomainError } from '../domain/errors.ts';
import { cutText } from '../domain/source-text.ts';
import type { Source } from '../domain/sources.ts';
import type { Spawning } from '../domain/spawn-policy.ts';
import { sourceRequestId, whisperChars } from '../domain/whispers.ts';
import { receiveWhisper } from './admission.ts';
import { lockAgents } from './agents.ts';
import { boundAgents, type GivenItem } from './bound-agents.ts';
import type { Executor } from './database.ts';
import { takeLock } from './locks.ts';

export interface ItemOfSource {
  ownerId: string;
  source: Source;
  item: GivenItem & { itemHash: string };
}

/**
 * Whose child an item whispers for: of the agents it was given to the one that a hash of item and agent puts first, so that
 * the items of a source are spread over its agents. The locks that the whisper needs are held from now on: admission before
 * agents, and those before the item, as everywhere.
 * @returns undefined where the source has made its whispers of the day, or nobody is there
 */
export async function lockItemParent(tx: Executor, of: ItemOfSource): Promise<string | undefined> {
  const { ownerId, source, item } = of;
  // Before the lock too: what comes after the day's last whisper must not hold up the admissions of others.
  if (await hasWhispered(tx, of)) return undefined;
  await takeLock(tx, 'admission', ownerId);
  if (await hasWhispered(tx, of)) return undefined;
  const parent = await boundAgents(tx, ownerId, source, item)
    .select(['id', 'lineageId'])
    .orderBy(sql`sha256(convert_to(${item.itemHash} || id, 'UTF8'))`)
    .limit(1)
    .executeTakeFirst();
  if (!parent) return undefined;
  await lockAgents(tx, [parent.id, parent.lineageId]);
  return parent.id;
}

/** Admission decides as of any whisper; a refused one is stored with its reason and harms nothing. */
export async function whisperOfItem(
  tx: Executor,
  { ownerId, source, item, parentId }: ItemOfSource & { parentId: string },
  policy: Spawning,
): Promise<void> {
  const whisper = {
    ownerId,
    source: 'source' as const,
    parentId,
    text: cutText(item.text, whisperChars),
    requestedBy: source.id,
    requestId: sourceRequestId(source.id, item.itemHash),
  };
  try {
    await receiveWhisper(tx, whisper, policy);
  } catch (err) {
    // It has whispered before: its source showed it again after its row was deleted, in other words or to other agents.
    if (!isDomainError(err, 'CONFLICT')) throw err;
  }
}

/** Refused ones count too: they bound what a feed can write into the list of whispers. */
async function hasWhispered(tx: Executor, { ownerId, source }: ItemOfSource): Promise<boolean> {
  const { rows } = await sql<{ whispers: number }>`
    select count(*) as whispers from whispers where owner_id = ${ownerId} and source = 'source' and requested_by = ${source.id}
      and received_at > clock_timestamp() - interval '1 day'`.execute(tx);
  return rows[0]!.whispers >= source.whispersPerDay;
}
