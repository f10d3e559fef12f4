import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { openWhisperStates, type Refusal, type SpawnEnd, type WhisperState } from '../domain/whispers.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { resolveNotice } from './notices.ts';

/** While it is in one of these, its workflow works on it. */
export const open: readonly WhisperState[] = openWhisperStates;

export function isOpen(state: string): boolean {
  return (open as readonly string[]).includes(state);
}

/** Of the notice that asks a person. */
export function whisperNotice(whisperId: string): string {
  return `whisper:${whisperId}`;
}

export function parentRetired(parentId: string): Refusal {
  return { code: 'PARENT_RETIRED', reason: `${parentId} is retired` };
}

/** Ends a whisper without a persona; one that has ended stays as it is. @returns how it stands */
export async function refuseWhisper(
  db: Database,
  whisperId: string,
  refusal: Refusal,
  state: 'refused' | 'expired' = 'refused',
): Promise<SpawnEnd> {
  return db.transaction().execute((tx) => endUnborn(tx, whisperId, refusal, state));
}

/** The same in the caller's transaction. */
export async function endUnborn(
  tx: Executor,
  whisperId: string,
  { code, reason }: Refusal,
  state: 'refused' | 'expired' = 'refused',
): Promise<SpawnEnd> {
  const row = await tx
    .updateTable('whispers')
    .set({ state, reasonCode: code, reason, endedAt: sql<Date>`clock_timestamp()` })
    .where('id', '=', whisperId)
    .where('state', 'in', open)
    .returning(['ownerId', 'parentId'])
    .executeTakeFirst();
  if (!row) return standing(tx, whisperId);
  const data = { parentId: row.parentId, code };
  await appendEvents(tx, [{ ownerId: row.ownerId, type: `whisper.${state}`, subject: whisperId, data }]);
  await resolveNotice(tx, whisperNotice(whisperId));
  return { state, code, reason };
}

/** How a whisper that is no longer under way ended. */
export async function standing(db: Executor, whisperId: string): Promise<SpawnEnd> {
  const row = await db
    .selectFrom('whispers')
    .select(['state', 'agentId', 'reasonCode', 'reason'])
    .where('id', '=', whisperId)
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no whisper ${whisperId}`);
  if (row.agentId !== null) return { state: 'spawned', agentId: row.agentId };
  const state = row.state as WhisperState;
  if (state !== 'refused' && state !== 'expired') throw new DomainError('CONFLICT', `${whisperId} is ${state}`);
  return { state, code: row.reasonCode, reason: row.reason };
}
