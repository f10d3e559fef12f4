import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, refundWorkflowId } from '../../domain/ids.ts';
import { reasonChars } from '../../domain/ledger.ts';
import { amountSchema, currencySchema, moneyText } from '../../domain/money.ts';
import { refundStates } from '../../domain/payments.ts';
import { creditsPayment } from '../../domain/purchases.ts';
import { openRefund } from '../../stores/provider-refunds.ts';
import { findPurchase } from '../../stores/queries/purchases.ts';
import { findRefund, listRefunds } from '../../stores/queries/refunds.ts';
import { type NewRefund, refundPurchase } from '../../stores/refunds.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, requestHashOf, requiredIdempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'market';
const purchaseParams = z.strictObject({ id: idSchema('purchase') });
const refundParams = z.strictObject({ id: idSchema('refund') });
const refundSchema = z
  .object({
    id: idSchema('refund'),
    purchaseId: idSchema('purchase'),
    payment: z.string().describe('As the purchase was paid, so it goes back'),
    amount: amountSchema,
    currency: currencySchema,
    state: z.enum(refundStates).describe('By credits it is done at once'),
    posted: amountSchema.describe('What of it was left of the sale, and went back; the rest is the platform’s loss'),
    revokedLicense: z.boolean().describe('Nothing was left of the sale with it, so the license was revoked'),
    forced: z.boolean().describe('Although the license was used or passed on'),
    reason: z.string(),
    failure: z.string().describe('Why the provider did not make it; empty: it did, or may yet'),
    madeAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Refund' });

/** So long a request waits for the provider's word. */
const answerMs = 5_000;
const startedSchema = z
  .object({ id: idSchema('refund'), purchaseId: idSchema('purchase'), state: z.literal('pending') })
  .meta({ id: 'StartedRefund' });

export function refundRoutes(app: Api, { db, principals, starter }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/purchases/:id/refunds',
    config: { role: 'creator' },
    schema: {
      tags: [tag],
      summary: 'Gives back what was paid, whole or in part; by its seller or who runs the marketplace',
      querystring: writeQuery,
      headers: requiredIdempotencyHeaders,
      params: purchaseParams,
      body: z.strictObject({
        amount: amountSchema.min(1).optional().describe('Default: all that is left of the sale'),
        reason: textSchema(reasonChars),
        force: z
          .boolean()
          .default(false)
          .describe('Also where the license was used or passed on; for who runs the marketplace alone'),
      }),
      response: {
        200: dryRunSchema,
        201: refundSchema,
        202: {
          description: 'On its way through the provider; Location has it',
          content: { 'application/json': { schema: refundSchema.or(startedSchema) } },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId, role, tokenId: madeBy } = callerOf(request);
      const { dryRun } = request.query;
      const { id: purchaseId } = request.params;
      const { amount, reason, force: forced } = request.body;
      const { payment, price, seller } = await seen(ownerId, purchaseId);
      const runs = role === 'operator' && ownerId === (await principals.firstOperator());
      if (!runs && seller !== ownerId)
        throw new DomainError('FORBIDDEN', `only its seller, or who runs the marketplace, refunds ${purchaseId}`);
      if (forced && !runs) throw new DomainError('FORBIDDEN', 'only who runs the marketplace may force a refund');
      const id = startedId('refund', request);
      const requestHash = requestHashOf({ purchaseId, ...request.body });
      const refund = { id, purchaseId, amount, reason, forced, requestHash, madeBy };
      if (dryRun) {
        const part = payment === creditsPayment ? await tryCredits(refund) : await tryProvider(refund);
        const what = part === undefined ? 'all that is left' : moneyText({ ...price, amount: part });
        const how = payment === creditsPayment ? '' : ` through ${payment}`;
        return { dryRun: true as const, would: `give back ${what} of ${purchaseId}${how}` };
      }
      void reply.header('location', `/v1/refunds/${id}`);
      const isNew =
        payment === creditsPayment
          ? await writeOrTry(db, false, (tx) => refundPurchase(tx, refund))
          : await startAtProvider(ownerId, refund);
      if (!isNew) void reply.header('idempotent-replayed', 'true');
      const made = await awaitRow(async () => {
        const row = await findRefund(db, ownerId, id);
        return row?.state === 'pending' ? undefined : row;
      }, answerMs);
      if (made === undefined) {
        const open = await findRefund(db, ownerId, id);
        return reply.code(202).send(open ?? { id, purchaseId, state: 'pending' as const });
      }
      if (made.state === 'failed')
        throw new DomainError('CONFLICT', `${payment} did not give it back: ${made.failure}`);
      return reply.code(201).send(made);
    },
  });

  const list = { role: 'reader', tag, item: refundSchema, key: idSchema('refund'), keyOf: refundId } as const;
  listRoute(app, {
    ...list,
    url: '/v1/refunds',
    summary: 'Refunds of purchases that you made or sold, the last first; who runs the marketplace sees all',
    filters: { purchaseId: idSchema('purchase').optional(), state: z.enum(refundStates).optional() },
    params: z.object({}),
    rows: (page, filters) => listRefunds(db, { ...page, ...filters }),
  });
  listRoute(app, {
    ...list,
    url: '/v1/purchases/:id/refunds',
    summary: 'Refunds of a purchase, by credits or through its provider, the last first',
    filters: {},
    params: purchaseParams,
    rows: async (page, _filters, { id }) => {
      await seen(page.ownerId, id);
      return listRefunds(db, { ...page, purchaseId: id });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/refunds/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One refund',
      params: refundParams,
      response: { 200: refundSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { id } = request.params;
      const found = await findRefund(db, callerOf(request).ownerId, id);
      if (!found) throw new DomainError('NOT_FOUND', `no refund ${id}`);
      return found;
    },
  });

  async function tryCredits(refund: NewRefund): Promise<number | undefined> {
    await writeOrTry(db, true, (tx) => refundPurchase(tx, refund));
    return refund.amount;
  }

  /** @returns what would go back */
  async function tryProvider(refund: NewRefund): Promise<number> {
    return (await writeOrTry(db, true, (tx) => openRefund(tx, askedOf(refund)))).amount;
  }

  /** @returns false where it was started before */
  async function startAtProvider(ownerId: string, refund: NewRefund): Promise<boolean> {
    // What can be refused is refused here; the workflow opens it again, under the same locks.
    await tryProvider(refund);
    return starter.start({
      type: 'settleRefund',
      ownerId,
      workflowId: refundWorkflowId(refund.id),
      args: [askedOf(refund)],
      again: 'never',
      summary: refund.purchaseId,
      content: refund.requestHash.toString('hex'),
    });
  }

  async function seen(ownerId: string, id: string) {
    const found = await findPurchase(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no purchase ${id}`);
    return found;
  }
}

function refundId({ id }: { id: string }): string {
  return id;
}

function askedOf({ id, purchaseId, amount, reason, forced, requestHash, madeBy }: NewRefund) {
  const asked = { refundId: id, purchaseId, reason, force: forced, requestHash: requestHash.toString('hex'), madeBy };
  return { ...asked, ...(amount === undefined ? {} : { amount }) };
}
