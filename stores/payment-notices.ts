import { type Money, moneyText } from '../domain/money.ts';
import type { Executor } from './database.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';

/**
 * A provider took more of a sale than was left of it: no party gives back more than it got, so somebody must know.
 * @param money what is beyond by now; nothing: the notice closes
 */
export async function tellBeyond(
  tx: Executor,
  { ownerId, purchaseId, what, money }: { ownerId: string; purchaseId: string; what: string; money: Money },
): Promise<void> {
  const key = `payment_beyond:${what}`;
  if (money.amount === 0) return resolveNotice(tx, key);
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'payment_beyond',
    key,
    subject: purchaseId,
    title: `${what} took ${moneyText(money)} more than was left of ${purchaseId}`,
    detail:
      'Refunds and disputes of a purchase together take no more of its parties than was paid; this is beyond that.',
    action: 'Look it up at the provider: it is booked as the platform’s loss until a dispute of it is won.',
  });
}

/** What a provider told, or was asked for, does not get done. */
export async function tellStuck(
  db: Executor,
  { ownerId, subject, reason }: { ownerId: string; subject: string; reason: string },
): Promise<void> {
  await openNotice(db, {
    id: newId('notice'),
    ownerId,
    kind: 'payment_stuck',
    key: stuckKey(subject),
    subject,
    title: `${subject} cannot be settled`,
    detail: reason.slice(0, 300),
    action: 'What may pass is tried again by itself; else see its workflow in Temporal.',
  });
}
export function stuckKey(subject: string): string {
  return `payment_stuck:${subject}`;
}
