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
    action:
      'Look it up at the provider. Of a sale it is booked as the platform’s loss, until its dispute is won or something else covers it.',
  });
}

/** A provider holds, or took, another amount than the price: it goes back, and the purchase is refused. */
export async function tellOther(
  tx: Executor,
  { ownerId, purchaseId, provider, money }: { ownerId: string; purchaseId: string; provider: string; money: Money },
  received: Money,
): Promise<void> {
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'payment_differs',
    key: `payment_differs:${purchaseId}`,
    subject: purchaseId,
    title: `${provider} has ${moneyText(received)} for ${purchaseId}, which costs ${moneyText(money)}`,
    detail: 'It is given back, and the purchase is refused.',
    action: `Look it up at ${provider}: somebody changed or captured it there.`,
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
