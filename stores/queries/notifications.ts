import type { NotificationKind, NotificationState } from '../../domain/notify.ts';
import { notifyContentSchema } from '../../domain/notify-texts.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface NotificationView {
  id: string;
  destination: string;
  kind: NotificationKind;
  title: string;
  text: string;
  state: NotificationState;
  reason: string;
  attempts: number;
  createdAt: string;
  endedAt: string | null;
}

/** The last made first. */
export async function listNotifications(
  db: Executor,
  {
    ownerId,
    after,
    limit,
    ...only
  }: PageRequest & { destination?: string | undefined; state?: NotificationState | undefined },
): Promise<NotificationView[]> {
  let query = db
    .selectFrom('notifications')
    .select(['id', 'destination', 'kind', 'content', 'state', 'reason', 'attempts', 'createdAt', 'endedAt'])
    .where('ownerId', '=', ownerId);
  if (only.destination !== undefined) query = query.where('destination', '=', only.destination);
  if (only.state !== undefined) query = query.where('state', '=', only.state);
  if (after !== undefined) query = query.where('id', '<', after);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map(({ content, ...row }) => {
    const { title, text } = notifyContentSchema.parse(content);
    return {
      ...row,
      kind: row.kind as NotificationKind,
      state: row.state as NotificationState,
      title,
      text,
      createdAt: iso(row.createdAt),
      endedAt: iso(row.endedAt),
    };
  });
}
