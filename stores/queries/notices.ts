import { sql } from 'kysely';
import { type NoticeAct, noticeRules } from '../../domain/notice-acts.ts';
import { noticeKinds, type NoticeKind, type Severity } from '../../domain/notices.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface NoticeView {
  id: string;
  kind: NoticeKind;
  severity: Severity;
  subject: string;
  title: string;
  detail: string;
  /** What its writer says to do. */
  action: string;
  act: NoticeAct;
  otherwise: string;
  seen: number;
  openedAt: string;
}

/** Open notices, the last opened first. */
export async function listOpenNotices(db: Executor, page: PageRequest): Promise<NoticeView[]> {
  let query = db
    .selectFrom('notices')
    .select(['id', 'kind', 'key', 'subject', 'about', 'title', 'detail', 'action', 'seen', 'openedAt'])
    .where('ownerId', '=', page.ownerId)
    .where('resolvedAt', 'is', null)
    // Another version that works beside this one may write kinds that are not known here.
    .where('kind', 'in', noticeKinds);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(({ key, about, openedAt, ...row }) => {
    const kind = row.kind as NoticeKind;
    const { severity, act, otherwise } = noticeRules[kind];
    const acted = { id: row.id, key, subject: row.subject, about };
    return { ...row, kind, severity, act: act(acted), otherwise: otherwise(acted), openedAt: iso(openedAt) };
  });
}

/** Since when nothing waits for a person: when the last notice closed, or the owner came to be; null while one is open. */
export async function inboxClearSince(db: Executor, ownerId: string): Promise<string | null> {
  const { rows } = await sql<{ open: boolean; since: Date }>`
    select exists (select from notices where owner_id = ${ownerId} and resolved_at is null) as open,
      coalesce((select max(resolved_at) from notices where owner_id = ${ownerId}),
        (select created_at from users where id = ${ownerId}), now()) as since`.execute(db);
  const [{ open, since }] = rows as [{ open: boolean; since: Date }];
  return open ? null : iso(since);
}
