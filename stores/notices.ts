import { sql } from 'kysely';
import type { NoticeKind } from '../domain/notices.ts';
import type { Executor } from './database.ts';

export interface NewNotice {
  id: string;
  ownerId: string;
  kind: NoticeKind;
  /** What makes two notices the same while one is open. */
  key: string;
  subject: string;
  /** What its act names beside the subject (domain/notice-acts.ts). */
  about?: string;
  title: string;
  detail?: string;
  /** The command that settles it, in words of its own; domain/notice-acts.ts has what programs go by. */
  action?: string;
}

/** Opens a notice, or counts one more sighting on the open one of the same key. */
export async function openNotice(db: Executor, notice: NewNotice): Promise<void> {
  await db
    .insertInto('notices')
    .values({ detail: '', action: '', about: '', ...notice })
    .onConflict((conflict) =>
      conflict
        .column('key')
        .where('resolvedAt', 'is', null)
        .doUpdateSet({
          seen: sql<number>`notices.seen + 1`,
          title: notice.title,
          detail: notice.detail ?? '',
          about: notice.about ?? '',
        }),
    )
    .execute();
}

/** Opens a notice for each, and closes those of the kind that are not among them any more. In the caller's transaction. */
export async function replaceNotices(
  tx: Executor,
  { ownerId, kind }: Pick<NewNotice, 'ownerId' | 'kind'>,
  notices: ReadonlyArray<Omit<NewNotice, 'ownerId' | 'kind'>>,
): Promise<void> {
  for (const notice of notices) await openNotice(tx, { ...notice, ownerId, kind });
  await tx
    .updateTable('notices')
    .set({ resolvedAt: sql<Date>`now()` })
    .where('ownerId', '=', ownerId)
    .where('kind', '=', kind)
    .where('resolvedAt', 'is', null)
    .where((eb) => eb.not(eb('key', '=', sql<string>`any(${notices.map(({ key }) => key)}::text[])`)))
    .execute();
}

export async function resolveNotice(db: Executor, key: string): Promise<void> {
  await db
    .updateTable('notices')
    .set({ resolvedAt: sql<Date>`now()` })
    .where('key', '=', key)
    .where('resolvedAt', 'is', null)
    .execute();
}
