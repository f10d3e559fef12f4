import { sql } from 'kysely';
import { paymentEventWorkflowId } from '../domain/ids.ts';
import type { PaymentObjectKind, PaymentProviderName } from '../domain/payments.ts';
import type { Database } from './database.ts';
import { insertIntent } from './intents.ts';
import { resolveNotice } from './notices.ts';
import { stuckKey, tellStuck } from './payment-notices.ts';

export interface NewPaymentEvent {
  provider: PaymentProviderName;
  /** The provider's: the same one again is the same event. */
  id: string;
  /** Who runs the installation whose keys the provider has. */
  ownerId: string;
  type: string;
  object: { kind: PaymentObjectKind; id: string } | null;
  happenedAt: Date;
}

export interface EventRef {
  provider: PaymentProviderName;
  eventId: string;
}

export function createPaymentEventStore(db: Database) {
  return {
    /** Keeps an event and asks for its settlement, in one transaction. @returns false where it came before */
    async receive({ provider, id, ownerId, type, object, happenedAt }: NewPaymentEvent): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .insertInto('paymentEvents')
          .values({
            provider,
            id,
            ownerId,
            type,
            objectKind: object?.kind ?? null,
            objectId: object?.id ?? null,
            happenedAt,
            ...(object === null ? { settledAt: sql<Date>`now()`, outcome: 'nothing is done for it' } : {}),
          })
          .onConflict((conflict) => conflict.columns(['provider', 'id']).doNothing())
          .returning('id')
          .executeTakeFirst();
        if (!row) return false;
        if (object !== null) {
          const args = [{ provider, eventId: id }];
          await insertIntent(tx, {
            workflowId: paymentEventWorkflowId(provider, id),
            type: 'settlePaymentEvent',
            args,
          });
        }
        return true;
      });
    },

    /** What an event is of; undefined where there is no such event, or it is settled. */
    async unsettled({ provider, eventId }: EventRef): Promise<{ kind: PaymentObjectKind; id: string } | undefined> {
      const row = await db
        .selectFrom('paymentEvents')
        .select(['objectKind', 'objectId'])
        .where('provider', '=', provider)
        .where('id', '=', eventId)
        .where('settledAt', 'is', null)
        .executeTakeFirst();
      if (row === undefined || row.objectKind === null || row.objectId === null) return undefined;
      return { kind: row.objectKind as PaymentObjectKind, id: row.objectId };
    },

    /** It cannot be settled (yet): somebody is told. */
    async stuck({ provider, eventId }: EventRef, reason: string): Promise<void> {
      const row = await db
        .selectFrom('paymentEvents')
        .select('ownerId')
        .where('provider', '=', provider)
        .where('id', '=', eventId)
        .executeTakeFirst();
      if (row) await tellStuck(db, { ownerId: row.ownerId, subject: eventId, reason });
    },

    async settled({ provider, eventId }: EventRef, outcome: string): Promise<void> {
      await resolveNotice(db, stuckKey(eventId));
      await db
        .updateTable('paymentEvents')
        .set({ settledAt: sql<Date>`now()`, outcome: outcome.slice(0, 300) })
        .where('provider', '=', provider)
        .where('id', '=', eventId)
        .where('settledAt', 'is', null)
        .execute();
    },
  };
}
export type PaymentEventStore = ReturnType<typeof createPaymentEventStore>;
