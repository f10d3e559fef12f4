import { Context } from '@temporalio/activity';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { byHand, type PayoutState } from '../domain/payments.ts';
import type { BlessingStore } from '../stores/blessings.ts';
import type { CreatorAccount, PayoutStore } from '../stores/payouts.ts';
import type { FleetReader } from './fleet-view.ts';
import { type PaymentProviders, providerOf } from './payment-providers.ts';

/** Accounts of a page: each is a transaction of its own. */
const page = 50;
/** From this try on somebody is told. */
const toldFrom = 5;
/** From this try of a page on it goes on without those who cannot be set out. */
const unstartedToldFrom = 3;

interface PayoutDeps {
  payouts: PayoutStore;
  blessings: BlessingStore;
  providers: PaymentProviders;
  fleet: FleetReader;
}

export function createPayoutActivities({ payouts, blessings, providers, fleet }: PayoutDeps) {
  async function share(ownerId: string, period: string) {
    try {
      return await blessings.share(ownerId, period);
    } catch (err) {
      // A refund took of the pool between its reading and its sharing.
      if (!isDomainError(err, 'BALANCE_TOO_LOW')) throw err;
      throw new DomainError('UNAVAILABLE', 'the pool shrank while it was shared out', { cause: err });
    }
  }

  return {
    /** Sets out what is due to one page of creators; a repeated call finds what it began. */
    async startDuePayouts({
      period,
      after,
    }: {
      period: string;
      after: string;
    }): Promise<{ next: string | null; started: number }> {
      const { hold, threshold } = (await fleet()).fleet.market.payouts;
      const rules = { threshold, holdSeconds: durationSeconds(hold) };
      const accounts = await payouts.accountsAfter(after, Object.keys(threshold), page);
      if (after === '') await payouts.tellWithoutThreshold(Object.keys(threshold));
      let started = 0;
      const failed: Array<{ account: CreatorAccount; err: unknown }> = [];
      for (const account of accounts) {
        try {
          if ((await payouts.start(account, period, rules)) !== undefined) started += 1;
        } catch (err) {
          failed.push({ account, err });
        }
      }
      // What may pass is tried again with the page; what does not keeps nobody else from being paid.
      if (failed.length > 0 && Context.current().info.attempt < unstartedToldFrom) throw failed[0]!.err;
      for (const { account, err } of failed)
        await payouts.tellUnstarted(account, err instanceof Error ? err.message : String(err));
      return { next: accounts.length < page ? null : accounts.at(-1)!.id, started };
    },

    /** Sends it; every try is under the payout's own id, so that it is sent once. */
    async sendPayout({ payoutId }: { payoutId: string }): Promise<{ reference: string }> {
      const payout = await payouts.find(payoutId);
      if (!payout) throw new DomainError('NOT_FOUND', `no payout ${payoutId}`);
      const { provider, account, money, state, reference } = payout;
      if (state === 'paid' && reference !== null) return { reference };
      // Its money is the creator's again.
      if (state !== 'started') throw new DomainError('CONFLICT', `${payoutId} has ended as ${state}`);
      if (provider === byHand || account === null) throw new DomainError('CONFLICT', `${payoutId} is paid by hand`);
      try {
        const { transferId } = await providerOf(providers, provider).transfer(
          { payoutId, account, money },
          `${payoutId}:transfer`,
        );
        return { reference: transferId };
      } catch (err) {
        if (isDomainError(err) && Context.current().info.attempt >= toldFrom)
          await payouts.tellFailing(payoutId, err.message);
        throw err;
      }
    },

    async endPayout({
      payoutId,
      ...end
    }: { payoutId: string } & ({ paid: { reference: string } } | { failed: string })): Promise<PayoutState> {
      return (await payouts.end(payoutId, end, { madeBy: payoutId })).state;
    },

    /** Of every book with a pool; one transaction each, and once a period. */
    async sharePools({ period }: { period: string }): Promise<{ books: number; blessings: number }> {
      const owners = await blessings.pools();
      let counted = 0;
      for (const ownerId of owners) counted += (await share(ownerId, period)).blessings;
      return { books: owners.length, blessings: counted };
    },
  };
}
export type PayoutActivities = ReturnType<typeof createPayoutActivities>;
