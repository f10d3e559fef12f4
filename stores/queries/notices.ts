import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface NoticeView {
  id: string;
  kind: string;
  subject: string;
  title: string;
  detail: string;
  /** The command that settles it. */
  action: string;
  seen: number;
  openedAt: string;
}

/** Open notices, the last opened first. */
export async function listOpenNotices(db: Executor, page: PageRequest): Promise<NoticeView[]> {
  let query = db
    .selectFrom('notices')
    .select(['id', 'kind', 'subject', 'title', 'detail', 'action', 'seen', 'openedAt'])
    .where('ownerId', '=', page.ownerId)
    .where('resolvedAt', 'is', null);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map((row) => ({ ...row, openedAt: iso(row.openedAt) }));
}
