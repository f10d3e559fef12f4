import { sql } from 'kysely';
import { createServer } from '../../api/server.ts';
import { createPayloads } from '../../config/payload-codec.ts';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import type { AccountRef } from '../../domain/ledger.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createStripe } from '../../integrations/payments/stripe.ts';
import { createLogger } from '../../observability/logger.ts';
import { createApiMetrics } from '../../observability/api-metrics.ts';
import { newId } from '../../stores/ids.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { balanceOf } from '../../stores/ledger.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createListing, moveListing } from '../../stores/listings.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import type { PurchaseLicenseResult } from '../../workflows/purchase-license.ts';
import type { SettleRefundInput, SettleRefundResult } from '../../workflows/settle-refund.ts';
import { testFleet } from './fleets.ts';
import { hashedEmbedder } from './hashed-embedder.ts';
import { until } from './lab.ts';
import { addPackage } from './market.ts';
import { createMortal } from './mortal.ts';
import { openStage } from './stage.ts';
import { testOwner } from './store-scope.ts';
import { startStripeDouble } from './stripe-double.ts';

const log = createLogger({ part: 'api', level: 'silent' });

export type MarketStage = Awaited<ReturnType<typeof openMarketStage>>;

/** The shipped API, relay and workflows over servers of the test's own, and a double of Stripe behind a socket. */
export async function openMarketStage() {
  const double = await startStripeDouble({ secretKey: 'sk_live_double' });
  const { dying, before, mortal } = createMortal();
  const withKey = (secretKey: string) => createStripe({ secretKey, url: double.url, callMs: 1_000 });
  let using = withKey(double.secretKey);
  // The worker's key is another from one call to the next, as when the worker is started again with another file.
  const stripe = new Proxy(using, {
    get: (target, name) =>
      typeof Reflect.get(target, name) !== 'function'
        ? (Reflect.get(target, name) as unknown)
        : (...args: unknown[]) => (Reflect.get(using, name) as (...given: unknown[]) => unknown)(...args),
  });
  const fleet = testFleet({ heavy: 0, light: 4 });
  const stage = await openStage(fleet, mortal, { providers: { stripe } });
  const { db, client, scope } = stage;
  await stage.apply({ ...fleet, market: { ...fleet.market, returnUrl: 'https://shop.example/back' } });
  const listen = createListenerFactory(scope.databaseUrl, () => undefined);
  const relay = relayIntents({ client, intents: createIntentStore(db), listen, log });
  const app = await createServer({
    db,
    listen,
    temporal: client,
    payloads: createPayloads(),
    redis: undefined,
    controlSocket: undefined,
    embedderOf: () => hashedEmbedder,
    secretBox: undefined,
    stripeWebhookSecret: double.webhookSecret,
    log,
    metrics: createApiMetrics(),
  });
  await app.ready();
  const user = async (name: string) => {
    const id = newId('user');
    const known = { operatorId: testOwner, address: `${id}@people.example`, verifiedAt: new Date() };
    await db
      .insertInto('users')
      .values({ id, name, role: 'creator', ...known })
      .execute();
    return id;
  };
  const [first, second, buyer] = [await user('ada'), await user('bea'), await user('buyer')];
  const { secret: token } = await createPrincipalStore(db).issue({
    ownerId: testOwner,
    kind: 'bearer',
    role: 'operator',
    name: 'test',
  });

  const { packageId } = await addPackage(db, { ownerId: testOwner, agentId: 'light-001' });

  /** A purchase by card up to the page where the buyer pays. */
  async function begin({ amount = 1_000, kind = 'personal', currency = 'EUR' } = {}) {
    const listingId = newId('listing');
    const creators = [
      { userId: market.ada, weight: 6_667 },
      { userId: market.bea, weight: 3_333 },
    ];
    await db.transaction().execute(async (tx) => {
      const said = { title: 'A loop', summary: '', terms: '1', kinds: [kind], creators, modelStatement: '' };
      const { terms: termsVersion, ...rest } = said;
      const price = { amount, currency };
      const requestHash = Buffer.from(listingId);
      await createListing(tx, {
        ...rest,
        termsVersion,
        price,
        id: listingId,
        ownerId: testOwner,
        packageId,
        requestHash,
      });
      await moveListing(tx, { id: listingId, ownerId: testOwner, version: undefined }, 'listed');
    });
    const purchaseId = newId('purchase');
    const handle = await client.workflow.start('purchaseLicense', {
      workflowId: purchaseWorkflowId(purchaseId),
      taskQueue: coordinationQueue,
      args: [
        {
          purchaseId,
          ownerId: buyer,
          listingId,
          licenseKind: kind,
          payment: 'stripe',
          requestHash: 'aa',
          madeBy: 'tok_test',
        },
      ],
    });
    const page = async () => (await stage.payments.find(purchaseId))?.checkoutId ?? null;
    await until('the page is open', async () => (await page()) !== null);
    return {
      purchaseId,
      handle,
      checkoutId: (await page())!,
      result: handle.result() as Promise<PurchaseLicenseResult>,
    };
  }

  const market = {
    ...stage,
    double,
    stripe,
    dying,
    before,
    token,
    /** Who shares the creator part of the next sale, two to one. */
    ada: first,
    bea: second,
    buyer,
    begin,
    until,
    useKey(secretKey: string): void {
      using = withKey(secretKey);
    },

    /** A sale by card, whole: the buyer pays, Stripe tells it, and the purchase goes through. */
    async buy(what: Parameters<typeof begin>[0] = {}) {
      const { purchaseId, checkoutId, result } = await begin(what);
      await market.tell(double.pay(checkoutId));
      const { state, licenseId } = await result;
      if (state !== 'completed' || licenseId === null) throw new Error(`the purchase is ${state}`);
      const { paymentId } = (await stage.payments.find(purchaseId))!;
      return { purchaseId, paymentId: paymentId!, licenseId };
    },

    /** An event as Stripe sends it; any time and secret. */
    async tell(event: Parameters<typeof double.signed>[0], ...signing: [at?: number, secret?: string]) {
      return market.send(double.signed(event, ...signing));
    },
    async send({ raw, headers }: { raw: string; headers: Record<string, string> }) {
      return app.inject({ method: 'POST', url: '/v1/payments/stripe/events', headers, payload: raw });
    },
    async call(method: 'GET' | 'POST', url: string, body?: object, headers: Record<string, string> = {}) {
      return app.inject({
        method,
        url,
        headers: { authorization: `Bearer ${token}`, ...headers },
        ...(body === undefined ? {} : { payload: body }),
      });
    },
    async settled(event: { id: string }): Promise<string> {
      await until(`${event.id} is settled`, async () => ((await eventRow(event.id))?.settledAt ?? null) !== null);
      return (await eventRow(event.id))!.outcome;
    },
    eventRow,

    async refund(asked: Partial<SettleRefundInput> & { purchaseId: string }): Promise<SettleRefundResult> {
      const { refundId = newId('refund') } = asked;
      return client.workflow.execute('settleRefund', {
        workflowId: `refund:${refundId}`,
        taskQueue: coordinationQueue,
        args: [{ refundId, reason: 'asked', force: false, madeBy: 'tok_test', ...asked }],
      }) as Promise<SettleRefundResult>;
    },

    async license(id: string) {
      return db.selectFrom('licenses').select(['state', 'suspendedBy']).where('id', '=', id).executeTakeFirstOrThrow();
    },
    balance: (account: AccountRef, currency = 'EUR') => balanceOf(db, testOwner, account, currency),
    async postings(purchaseId: string): Promise<string[]> {
      const rows = await db
        .selectFrom('ledgerTransfers')
        .select('kind')
        .where('purchaseId', '=', purchaseId)
        .orderBy('seq')
        .execute();
      return rows.map(({ kind }) => kind);
    },
    /** What the parties of a sale hold of it. */
    async held(purchaseId: string): Promise<number> {
      const { rows } = await sql<{
        held: number;
      }>`select coalesce(sum(e.amount), 0)::bigint as held from ledger_entries e
        join ledger_transfers t on t.id = e.transfer_id join ledger_accounts a on a.id = e.account_id
        where t.purchase_id = ${purchaseId} and t.kind not in ('fee_taken', 'fee_returned', 'beyond_taken', 'beyond_returned')
        and a.kind in ('creator', 'platform', 'blessings', 'tax')`.execute(db);
      return rows[0]!.held;
    },
    /** Every currency adds up to zero, and every transfer. */
    async sums(): Promise<unknown[]> {
      const { rows } = await sql`select currency from ledger_accounts group by currency having sum(balance) <> 0
        union all select transfer_id from ledger_entries group by transfer_id having sum(amount) <> 0`.execute(db);
      return rows;
    },
    async notices(kind: string) {
      return db
        .selectFrom('notices')
        .select(['id', 'key', 'subject', 'title', 'resolvedAt'])
        .where('kind', '=', kind)
        .execute();
    },

    async close(): Promise<void> {
      await relay.stop();
      await app.close();
      await stage.close();
      await double.close();
    },
  };
  return market;

  async function eventRow(id: string) {
    return db.selectFrom('paymentEvents').select(['settledAt', 'outcome']).where('id', '=', id).executeTakeFirst();
  }
}
