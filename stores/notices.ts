import { sql } from 'kysely';
import type { Executor } from './database.ts';

export interface NewNotice {
  id: string;
  ownerId: string;
  kind:
    | 'machine_lost'
    | 'parked_work'
    | 'model_server_down'
    | 'gpu_differs'
    | 'source_failing'
    | 'source_secret_unreadable'
    | 'memory_limit'
    | 'consolidation_failing'
    | 'drift_failing'
    | 'weaving_failing'
    | 'embedding_failing'
    | 'embedding_model_failing'
    | 'clustering_failing'
    | 'whisper_waiting'
    | 'ledger_unbalanced'
    | 'dispute_open'
    | 'dispute_differs'
    | 'refund_failed'
    | 'refund_differs'
    | 'payment_beyond'
    | 'payment_differs'
    | 'payment_stuck'
    | 'payout_waiting'
    | 'payout_failing'
    | 'payout_refused'
    | 'payout_no_threshold'
    | 'purchase_stuck'
    | 'listing_taken_down'
    | 'mail_failing'
    | 'mail_unconfirmed'
    | 'webhook_failing'
    | 'webhook_disabled'
    | 'guild_invite'
    | 'channel_stopped'
    | 'replies_stopped'
    | 'drop_schedule_paused'
    | 'delivery_failed'
    | 'delivery_unconfirmed'
    | 'drop_waiting';
  /** What makes two notices the same while one is open. */
  key: string;
  subject: string;
  title: string;
  detail?: string;
  /** The command or button that settles it. */
  action?: string;
}

/** What no code can see the end of: a person says that it is done. Every other notice closes when its cause is gone. */
export const endedByPerson: readonly NewNotice['kind'][] = [
  'dispute_differs',
  'payment_beyond',
  'payment_differs',
  'payment_stuck',
  'refund_differs',
  'refund_failed',
];

/** Opens a notice, or counts one more sighting on the open one of the same key. */
export async function openNotice(db: Executor, notice: NewNotice): Promise<void> {
  await db
    .insertInto('notices')
    .values({ detail: '', action: '', ...notice })
    .onConflict((conflict) =>
      conflict
        .column('key')
        .where('resolvedAt', 'is', null)
        .doUpdateSet({ seen: sql<number>`notices.seen + 1`, title: notice.title, detail: notice.detail ?? '' }),
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
