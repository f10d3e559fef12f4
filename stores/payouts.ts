import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { payoutWorkflowId } from '../domain/ids.ts';
import { payable, payoutUnit } from '../domain/market.ts';
import { type Money, moneyText } from '../domain/money.ts';
import { byHand, type PaymentProviderName, type PayoutState, payoutToldFrom } from '../domain/payments.ts';
import { payoutEnded, payoutStarted } from '../domain/postings.ts';
import { type Database, type DatabaseTransaction, inTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { findPosting, postTransfers } from './ledger.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { heldOf, payoutsAreHeld, refusalsOf, tellWithoutThreshold, waits } from './payouts-due.ts';
import { isTrial } from './provider-accounts.ts';

export interface PayoutRules {
  /** Minor units by currency; others are not paid out. */
  threshold: Readonly<Record<string, number>>;
  holdSeconds: number;
}

export interface Payout {
  id: string;
  ownerId: string;
  userId: string;
  provider: PaymentProviderName | typeof byHand;
  account: string | null;
  money: Money;
  state: PayoutState;
  /** What the provider, or the operator, calls it; null before it was paid. */
  reference: string | null;
}

/** Who may be due: a page of creators' accounts, by the ledger's id of them. */
export interface CreatorAccount {
  id: string;
  ownerId: string;
  userId: string;
  currency: string;
}

export type PayoutEnd = { paid: { reference: string } } | { failed: string };

export function createPayoutStore(db: Database) {
  return {
    async accountsAfter(after: string, currencies: readonly string[], limit: number): Promise<CreatorAccount[]> {
      if (currencies.length === 0) return [];
      const rows = await db
        .selectFrom('ledgerAccounts')
        .select(['id', 'ownerId', 'holder', 'currency'])
        .where('kind', '=', 'creator')
        .where('balance', '>', 0)
        .where('id', '>', after)
        .where('currency', 'in', currencies)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(({ holder, ...row }) => ({ ...row, userId: holder }));
    },

    /**
     * Sets out what a creator is owed, where it is due: the money leaves their account, and its workflow is asked for, in one
     * transaction. One that is on the way is waited for; a period pays once.
     * @returns undefined where nothing is due
     */
    async start(of: CreatorAccount, period: string, rules: PayoutRules): Promise<string | undefined> {
      const started = await db.transaction().execute((tx) => startPayout(tx, of, period, rules));
      await resolveNotice(db, unstartedKey(of));
      return started;
    },

    tellWithoutThreshold: (currencies: readonly string[]) => tellWithoutThreshold(db, currencies),

    /** What is owed to one creator cannot be set out: the others are paid, and somebody should look. */
    async tellUnstarted(of: CreatorAccount, reason: string): Promise<void> {
      await openNotice(db, {
        id: newId('notice'),
        ownerId: of.ownerId,
        kind: 'payout_failing',
        key: unstartedKey(of),
        subject: of.userId,
        title: `what ${of.userId} is owed in ${of.currency} cannot be set out`,
        detail: reason.slice(0, 300),
        action: 'The next sweep tries again by itself.',
      });
    },

    async find(id: string): Promise<Payout | undefined> {
      return findPayout(db, id);
    },

    /**
     * It has arrived, or comes back to the creator. Told again it is the same end.
     * @param by whose token; an operator ends only what is paid by hand, in their own books
     * @throws NOT_FOUND · CONFLICT where it has ended the other way
     */
    async end(
      id: string,
      end: PayoutEnd,
      by: { madeBy: string; ownerId?: string },
      within?: DatabaseTransaction,
    ): Promise<Payout> {
      return inTransaction(db, within, (tx) => endPayout(tx, id, end, by));
    },

    /** It is tried again and again, and somebody should look. */
    async tellFailing(id: string, reason: string): Promise<void> {
      const payout = await findPayout(db, id);
      if (payout?.state !== 'started') return;
      await openNotice(db, {
        id: newId('notice'),
        ownerId: payout.ownerId,
        kind: 'payout_failing',
        key: `payout_failing:${id}`,
        subject: id,
        title: `${moneyText(payout.money)} for ${payout.userId} cannot be sent`,
        detail: reason.slice(0, 300),
        action: 'It is tried again by itself, under the same id.',
      });
    },

    /** Where a creator is paid from now on; null: by hand. @throws NOT_FOUND */
    async setAccount(
      { ownerId, userId, madeBy }: { ownerId: string; userId: string; madeBy: string },
      account: { provider: PaymentProviderName; account: string } | null,
    ): Promise<void> {
      const user = await db.selectFrom('users').select('id').where('id', '=', userId).executeTakeFirst();
      if (!user) throw new DomainError('NOT_FOUND', `no user ${userId}`);
      if (account === null) {
        await db.deleteFrom('payoutAccounts').where('ownerId', '=', ownerId).where('userId', '=', userId).execute();
        return;
      }
      const values = { ...account, setBy: madeBy, changedAt: sql<Date>`now()` };
      await db
        .insertInto('payoutAccounts')
        .values({ ownerId, userId, ...values })
        .onConflict((conflict) => conflict.columns(['ownerId', 'userId']).doUpdateSet(values))
        .execute();
    },
  };
}
const unstartedKey = ({ id }: CreatorAccount) => `payout_failing:${id}`;
export type PayoutStore = ReturnType<typeof createPayoutStore>;

async function startPayout(
  tx: DatabaseTransaction,
  { ownerId, userId, currency }: CreatorAccount,
  period: string,
  { threshold, holdSeconds }: PayoutRules,
): Promise<string | undefined> {
  await takeLock(tx, 'payouts', `${ownerId}:${userId}:${currency}`);
  const known = await tx
    .selectFrom('payouts')
    .select(['id', 'state', 'period'])
    .where('ownerId', '=', ownerId)
    .where('userId', '=', userId)
    .where('currency', '=', currency)
    .where((eb) => eb.or([eb('period', '=', period), eb('state', '=', 'started')]))
    .execute();
  if (known.length > 0) return known.find((row) => row.period === period)?.id;
  if (await payoutsAreHeld(tx, ownerId)) return undefined;
  // Held until the commit, so that what is counted is what is taken.
  const { rows } = await sql<{ id: string; balance: number; version: number }>`
    select id, balance, version from ledger_accounts where owner_id = ${ownerId} and kind = 'creator' and holder = ${userId}
      and currency = ${currency} for update`.execute(tx);
  const [account] = rows;
  if (!account) return undefined;
  const to = await tx
    .selectFrom('payoutAccounts')
    .select(['provider', 'account', 'changedAt'])
    .where('ownerId', '=', ownerId)
    .where('userId', '=', userId)
    .executeTakeFirst();
  // By hand, what was sold in test mode would be paid with live money.
  if (!to && (await isTrial(tx))) return undefined;
  if (to && (await waits(tx, { ownerId, userId, currency }, to.changedAt))) return undefined;
  const amount = payable(
    { balance: account.balance, held: await heldOf(tx, account, holdSeconds) },
    { threshold: threshold[currency] ?? Number.MAX_SAFE_INTEGER, unit: to ? payoutUnit(currency) : 1 },
  );
  if (amount === 0) return undefined;
  const payoutId = newId('payout');
  const money = { amount, currency };
  await tx
    .insertInto('payouts')
    .values({
      id: payoutId,
      ownerId,
      userId,
      provider: to?.provider ?? byHand,
      account: to?.account ?? null,
      ...money,
      period,
    })
    .execute();
  if (to) {
    await insertIntent(tx, { workflowId: payoutWorkflowId(payoutId), type: 'payOutCreator', args: [{ payoutId }] });
  } else {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId,
      kind: 'payout_waiting',
      key: `payout_waiting:${payoutId}`,
      subject: payoutId,
      title: `${moneyText(money)} is due to ${userId}`,
      detail: 'No provider pays this creator.',
      action: `Pay it, then: soulfra payouts paid ${payoutId} --reference <yours>`,
    });
  }
  await tell(tx, { id: payoutId, ownerId, userId, money }, 'payout.started');
  await postTransfers(tx, { ownerId, madeBy: payoutId }, [payoutStarted({ payoutId, userId, money })]);
  return payoutId;
}

/** One that is refused again and again is told once per creator and currency, until one is paid. */
async function tellRefusals(tx: DatabaseTransaction, payout: Payout, state: 'paid' | 'failed'): Promise<void> {
  const { ownerId, userId, money, provider } = payout;
  const key = `payout_refused:${ownerId}:${userId}:${money.currency}`;
  if (state === 'paid') return resolveNotice(tx, key);
  if (provider === byHand) return;
  const { refusals } = await refusalsOf(tx, { ownerId, userId, currency: money.currency }, null);
  if (refusals < payoutToldFrom) return;
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'payout_refused',
    key,
    subject: userId,
    title: `${provider} has refused to pay ${userId} in ${money.currency} ${refusals} times`,
    detail: `${moneyText(money)} went back to the creator. It is tried again ever more seldom.`,
    action: `soulfra payouts list --user ${userId}; then set another account, or none: soulfra payouts account ${userId}`,
  });
}

async function endPayout(
  tx: DatabaseTransaction,
  id: string,
  end: PayoutEnd,
  { madeBy, ownerId }: { madeBy: string; ownerId?: string },
): Promise<Payout> {
  const named = await findPayout(tx, id);
  if (!named || (ownerId !== undefined && named.ownerId !== ownerId))
    throw new DomainError('NOT_FOUND', `no payout ${id}`);
  if (ownerId !== undefined && named.provider !== byHand)
    throw new DomainError('CONFLICT', `${id} is sent by ${named.provider}, which says itself how it ended`);
  const { userId, money } = named;
  await takeLock(tx, 'payouts', `${named.ownerId}:${userId}:${money.currency}`);
  const payout = (await findPayout(tx, id))!;
  const state = 'paid' in end ? 'paid' : 'failed';
  if (payout.state === state) return payout;
  if (payout.state !== 'started') throw new DomainError('CONFLICT', `${id} has ended as ${payout.state}`);
  await tx
    .updateTable('payouts')
    .set({
      state,
      endedAt: sql<Date>`now()`,
      ...('paid' in end ? { reference: end.paid.reference } : { reason: end.failed.slice(0, 300) }),
    })
    .where('id', '=', id)
    .execute();
  for (const kind of ['payout_waiting', 'payout_failing']) await resolveNotice(tx, `${kind}:${id}`);
  await tellRefusals(tx, payout, state);
  await tell(tx, payout, `payout.${state}`);
  const started = await findPosting(tx, payout.ownerId, `payout:${id}`);
  if (!started) throw new DomainError('INTERNAL', `${id} was started and is not posted`);
  const how = 'paid' in end ? { paidBy: payout.provider } : { failed: end.failed };
  await postTransfers(tx, { ownerId: payout.ownerId, madeBy }, [payoutEnded(started, how)]);
  return { ...payout, state };
}

async function findPayout(db: Database | DatabaseTransaction, id: string): Promise<Payout | undefined> {
  const row = await db.selectFrom('payouts').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  return {
    id: row.id,
    ownerId: row.ownerId,
    userId: row.userId,
    provider: row.provider as Payout['provider'],
    account: row.account,
    money: { amount: row.amount, currency: row.currency },
    state: row.state as PayoutState,
    reference: row.reference,
  };
}

async function tell(
  tx: DatabaseTransaction,
  { id, ownerId, userId, money }: Pick<Payout, 'id' | 'ownerId' | 'userId' | 'money'>,
  type: string,
): Promise<void> {
  const owners = [...new Set([ownerId, userId])];
  await appendEvents(
    tx,
    owners.map((owner) => ({ ownerId: owner, type, subject: id, data: { ...money, userId } })),
  );
}
