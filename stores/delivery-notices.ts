import type { DropDeliveryState } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';

export interface ToldDelivery {
  id: string;
  ownerId: string;
  dropId: string;
  /** Its name. */
  channel: string;
}

export const deliveryNotice = (id: string) => `delivery:${id}`;

/** Tells the owner what became of a delivery, where a person has to know or to do something. */
export async function tellDelivery(
  tx: DatabaseTransaction,
  { id, ownerId, dropId, channel }: ToldDelivery,
  state: DropDeliveryState,
  reason: string,
): Promise<void> {
  if (state === 'published') return resolveNotice(tx, deliveryNotice(id));
  if (state !== 'failed' && state !== 'unconfirmed') return;
  const unconfirmed = state === 'unconfirmed';
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: unconfirmed ? 'delivery_unconfirmed' : 'delivery_failed',
    key: deliveryNotice(id),
    subject: dropId,
    title: unconfirmed ? `A drop may or may not be on ${channel}: look, and say which` : `A drop is not on ${channel}`,
    detail: reason,
    action: unconfirmed
      ? `soulfra drop confirm ${dropId} ${id} (it is there), or soulfra drop again ${dropId} ${id} (post again)`
      : `soulfra drop again ${dropId} ${id}`,
  });
}
