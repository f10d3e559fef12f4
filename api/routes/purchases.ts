import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { idSchema, nameSchema, purchaseWorkflowId, slugSchema } from '../../domain/ids.ts';
import { moneyText } from '../../domain/money.ts';
import { paymentProviders } from '../../domain/payments.ts';
import { creditsPayment, isEndedPurchase, refusalOf } from '../../domain/purchases.ts';
import { purchaseStates } from '../../domain/states.ts';
import { refusalOfBuyerNow } from '../../stores/buyers.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { findListing } from '../../stores/queries/listings.ts';
import { findPurchase, listPurchases, purchaseRequest, type PurchaseView } from '../../stores/queries/purchases.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { priceSchema, purchaseSchema } from '../market-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, requestHashOf, requiredIdempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'market';
/** So long a request waits for the end of its purchase. */
const answerMs = 5_000;
const cancelMs = 1_500;

const startedSchema = z
  .object({ id: idSchema('purchase'), state: z.literal('pending'), listingId: idSchema('listing') })
  .meta({ id: 'StartedPurchase' });
const purchaseParams = z.strictObject({ id: idSchema('purchase') });

export function purchaseRoutes(app: Api, { db, principals, starter, linksTo, stripeWebhookSecret }: ApiContext): void {
  const linked = (purchase: PurchaseView) => ({ ...purchase, links: linksTo(purchaseWorkflowId(purchase.id)) });

  app.route({
    method: 'POST',
    url: '/v1/purchases',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Buys a license of a listing; the same Idempotency-Key buys once',
      querystring: writeQuery,
      headers: requiredIdempotencyHeaders,
      body: z.strictObject({
        listingId: idSchema('listing'),
        kind: nameSchema.describe('Kind of license, one that the listing sells'),
        payment: z
          .enum([creditsPayment, ...paymentProviders])
          .default(creditsPayment)
          .describe('By a provider: the answer is a 202 with `payUrl`, the page where you pay'),
        price: priceSchema.optional().describe('What you saw: bought at no other price'),
        buyerAgentId: slugSchema.optional().describe('Your agent that asked for it, within its budget'),
      }),
      response: {
        200: dryRunSchema,
        201: purchaseSchema,
        202: {
          description: 'Not done yet; Location has it',
          content: { 'application/json': { schema: purchaseSchema.or(startedSchema) } },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const { listingId, kind, payment, price, buyerAgentId } = request.body;
      const purchaseId = startedId('purchase', request);
      const requestHash = requestHashOf(request.body).toString('hex');
      const known = await purchaseRequest(db, ownerId, purchaseId);
      if (known !== undefined && known !== requestHash)
        throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
      void reply.header('location', `/v1/purchases/${purchaseId}`);
      if (known === undefined) {
        // Without its events a purchase would be known as paid by the next look at it alone.
        if (payment === 'stripe' && stripeWebhookSecret === undefined)
          throw new DomainError('PAYMENTS_NOT_SET_UP', 'STRIPE_WEBHOOK_SECRET is not set for the API');
        const listing = await findListing(db, ownerId, listingId);
        if (!listing) throw new DomainError('NOT_FOUND', `no listing ${listingId}`);
        if (!listing.kinds.includes(kind))
          throw fieldError('kind', `must be one of ${listing.kinds.join(', ')}`, 'Choose one that the listing sells.');
        if (buyerAgentId !== undefined && !(await findAgent(db, ownerId, buyerAgentId)))
          throw new DomainError('NOT_FOUND', `no agent ${buyerAgentId}`);
        const buying = { buyerId: ownerId, agentId: buyerAgentId, price: listing.price };
        const refusal = await refusalOfBuyerNow(db, { ...buying, booksId: await principals.firstOperator() });
        // The same request beside this one may have bought meanwhile, with the last of the budget: then both have its answer.
        if (refusal && (await purchaseRequest(db, ownerId, purchaseId)) === undefined) throw refusal;
        if (request.query.dryRun)
          return { dryRun: true as const, would: `buy ${listingId} as ${kind} for ${moneyText(listing.price)}` };
        const isNew = await starter.start({
          type: 'purchaseLicense',
          ownerId,
          workflowId: purchaseWorkflowId(purchaseId),
          args: [
            {
              purchaseId,
              ownerId,
              listingId,
              licenseKind: kind,
              payment,
              requestHash,
              madeBy: tokenId,
              ...(price === undefined ? {} : { price }),
              ...(buyerAgentId === undefined ? {} : { buyerAgentId }),
            },
          ],
          again: 'never',
          summary: listingId,
          content: requestHash,
        });
        if (!isNew) void reply.header('idempotent-replayed', 'true');
      } else {
        if (request.query.dryRun) return { dryRun: true as const, would: `answer with ${purchaseId}` };
        void reply.header('idempotent-replayed', 'true');
      }
      const purchase = await answered(ownerId, purchaseId, answerMs);
      if (purchase === undefined || !isEndedPurchase(purchase)) {
        const open = purchase ?? (await findPurchase(db, ownerId, purchaseId));
        return reply.code(202).send(open ? linked(open) : { id: purchaseId, state: 'pending' as const, listingId });
      }
      if (purchase.state !== 'completed') throw refusalOf(purchase);
      return reply.code(201).send(linked(purchase));
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/payments/providers',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'Providers that a purchase can be paid through here, besides credits',
      response: {
        200: z.object({ items: z.array(z.object({ id: z.enum(paymentProviders) })) }).meta({ id: 'PaymentProviders' }),
        ...problemResponses,
      },
    },
    handler: () => ({
      items: paymentProviders
        .filter((id) => id !== 'stripe' || stripeWebhookSecret !== undefined)
        .map((id) => ({ id })),
    }),
  });

  listRoute(app, {
    url: '/v1/purchases',
    role: 'reader',
    tag,
    summary: 'Purchases that you made or sold, the last first; who runs the marketplace sees all',
    item: purchaseSchema,
    filters: {
      state: z.enum(purchaseStates).optional(),
      listingId: idSchema('listing').optional(),
      as: z.enum(['buyer', 'seller']).optional().describe('Only those you made, or sold'),
    },
    params: z.object({}),
    key: idSchema('purchase'),
    keyOf: ({ id }) => id,
    rows: async (page, filters) => (await listPurchases(db, { ...page, ...filters })).map(linked),
  });

  app.route({
    method: 'GET',
    url: '/v1/purchases/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One purchase, with the split of its price',
      params: purchaseParams,
      response: { 200: purchaseSchema, ...problemResponses },
    },
    handler: async (request) => linked(await existing(callerOf(request).ownerId, request.params.id)),
  });

  app.route({
    method: 'POST',
    url: '/v1/purchases/:id/cancel',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Ends an open purchase before its money is taken; all of it is undone',
      querystring: writeQuery,
      params: purchaseParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: purchaseSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const purchase = await existing(ownerId, request.params.id);
      const { id, state } = purchase;
      if (purchase.buyer !== ownerId) throw new DomainError('FORBIDDEN', `only its buyer cancels ${id}`);
      if (isEndedPurchase(purchase) || state === 'captured')
        throw new DomainError('CONFLICT', `${id} is ${state} already`);
      if (request.query.dryRun) return { dryRun: true as const, would: `cancel ${id}, which is ${state}` };
      await starter.cancel(purchaseWorkflowId(id));
      void reply.header('location', `/v1/purchases/${id}`);
      return reply.code(202).send(linked((await ended(ownerId, id, cancelMs)) ?? (await existing(ownerId, id))));
    },
  });

  /** It has ended, or it is up to the buyer to pay. */
  function answered(ownerId: string, id: string, withinMs: number): Promise<PurchaseView | undefined> {
    return awaitRow(async () => {
      const purchase = await findPurchase(db, ownerId, id);
      return purchase !== undefined && (isEndedPurchase(purchase) || purchase.payUrl !== null) ? purchase : undefined;
    }, withinMs);
  }

  function ended(ownerId: string, id: string, withinMs: number): Promise<PurchaseView | undefined> {
    return awaitRow(async () => {
      const purchase = await findPurchase(db, ownerId, id);
      return purchase !== undefined && isEndedPurchase(purchase) ? purchase : undefined;
    }, withinMs);
  }

  async function existing(ownerId: string, id: string): Promise<PurchaseView> {
    const found = await findPurchase(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no purchase ${id}`);
    return found;
  }
}
