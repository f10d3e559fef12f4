import type { RefusalCode, WhisperSource, WhisperState } from '../../domain/whispers.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface WhisperView {
  id: string;
  source: WhisperSource;
  parentId: string;
  lineageId: string;
  text: string;
  state: WhisperState;
  /** Why it ended without a persona; null otherwise. */
  code: RefusalCode | null;
  reason: string;
  retryOf: string | null;
  requestedBy: string;
  /** The persona it became. */
  agentId: string | null;
  /** The name of the draft that is worked on. */
  name: string | null;
  draft: number;
  /** `extractive`: no model wrote the persona, it was made by rule. */
  personaSource: 'model' | 'extractive' | null;
  modelId: string | null;
  promptVersion: string | null;
  nearestId: string | null;
  nearestCosine: number | null;
  receivedAt: string;
  deadline: string | null;
  endedAt: string | null;
}

function whisperQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('whispers')
    .select([
      'id',
      'source',
      'parentId',
      'lineageId',
      'text',
      'state',
      'reasonCode',
      'reason',
      'retryOf',
      'requestedBy',
      'agentId',
      'name',
      'draft',
      'personaSource',
      'modelId',
      'promptVersion',
      'nearestId',
      'nearestCosine',
      'receivedAt',
      'deadline',
      'endedAt',
    ])
    .where('ownerId', '=', ownerId);
}

function whisperView({
  reasonCode,
  ...row
}: Awaited<ReturnType<ReturnType<typeof whisperQuery>['execute']>>[number]): WhisperView {
  return {
    ...row,
    source: row.source as WhisperSource,
    state: row.state as WhisperState,
    code: reasonCode === '' ? null : (reasonCode as RefusalCode),
    personaSource: row.personaSource as WhisperView['personaSource'],
    receivedAt: iso(row.receivedAt),
    deadline: iso(row.deadline),
    endedAt: iso(row.endedAt),
  };
}

export interface WhisperFilter {
  state?: WhisperState | undefined;
  parentId?: string | undefined;
}

/** The last received first. */
export async function listWhispers(db: Executor, page: PageRequest & WhisperFilter): Promise<WhisperView[]> {
  let query = whisperQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  if (page.parentId !== undefined) query = query.where('parentId', '=', page.parentId);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(whisperView);
}

export async function findWhisper(db: Executor, ownerId: string, id: string): Promise<WhisperView | undefined> {
  const row = await whisperQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && whisperView(row);
}
