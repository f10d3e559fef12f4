import { sql } from 'kysely';
import { paymentEventWorkflowId } from '../domain/ids.ts';
import { type PaymentObjectKind, type PaymentProviderName, providerAccountText } from '../domain/payments.ts';
import type { Database, Executor } from './database.ts';
import { insertIntent } from './intents.ts';
import { resolveNotice } from './notices.ts';
import { stuckKey, tellStuck } from './payment-notices.ts';
import { findProviderAccount } from './provider-accounts.ts';

/** Asked for anew at a time: the next hour takes more. */
const mostResumed = 500;

export interface NewPaymentEvent {
  provider: PaymentProviderName;
  /** The provider's: the same one again is the same event. */
  id: string;
  /** Who runs the installation whose keys the provider has. */
  ownerId: string;
  type: string;
  live: boolean;
  /** A connected account's; null: the own one's. */
  account: string | null;
  object: { kind: PaymentObjectKind; id: string } | null;
  happenedAt: Date;
}

export interface EventRef {
  provider: PaymentProviderName;
  eventId: string;
}

/**
 * Why an event is none of these books: they are of one account and mode, written down before anything was asked for there.
 * @returns undefined where it may be
 */
async function refusalOf(
  tx: Executor,
  { provider, live, account }: Pick<NewPaymentEvent, 'provider' | 'live' | 'account'>,
): Promise<string | undefined> {
  const books = await findProviderAccount(tx, provider);
  if (books === undefined) return 'nothing was ever asked for there';
  if (books.live === live && (account === null || account === books.account)) return undefined;
  const [own, other] = [books, { account: account ?? books.account, live }].map(providerAccountText);
  return `the books are of ${own}, the event of ${other}`;
}

async function askFor(tx: Executor, provider: string, id: string): Promise<void> {
  const workflowId = paymentEventWorkflowId(provider, id);
  await insertIntent(tx, { workflowId, type: 'settlePaymentEvent', args: [{ provider, eventId: id }] });
}

/** A person has looked at it, and nothing more is to be done: it is not asked for again. */
export async function endByPerson(tx: Executor, eventId: string, by: string): Promise<void> {
  await tx
    .updateTable('paymentEvents')
    .set({ settledAt: sql<Date>`now()`, outcome: `ended by ${by}` })
    .where('id', '=', eventId)
    .where('settledAt', 'is', null)
    .execute();
}

export function createPaymentEventStore(db: Database) {
  return {
    /** Keeps an event and asks for its settlement, in one transaction. @returns false where it came before */
    async receive({ object, ...event }: NewPaymentEvent): Promise<boolean> {
      const { provider, id } = event;
      return db.transaction().execute(async (tx) => {
        const nothing = object === null ? 'nothing is done for it' : await refusalOf(tx, event);
        const row = await tx
          .insertInto('paymentEvents')
          .values({
            ...event,
            objectKind: object?.kind ?? null,
            objectId: object?.id ?? null,
            ...(nothing === undefined ? {} : { settledAt: sql<Date>`now()`, outcome: nothing }),
          })
          .onConflict((conflict) => conflict.columns(['provider', 'id']).doNothing())
          .returning('id')
          .executeTakeFirst();
        if (!row) return false;
        if (nothing === undefined) {
          await askFor(tx, provider, id);
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

    /** Asks anew for the settlement of what came more than an hour ago: one whose workflow still runs is not started again. */
    async resume(): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const rows = await tx
          .selectFrom('paymentEvents')
          .select(['provider', 'id'])
          .where('settledAt', 'is', null)
          .where('receivedAt', '<', sql<Date>`now() - interval '1 hour'`)
          // Those that fail for good must not stand before the others for ever.
          .orderBy(sql`random()`)
          .limit(mostResumed)
          .execute();
        for (const { provider, id } of rows) await askFor(tx, provider, id);
        return rows.length;
      });
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
