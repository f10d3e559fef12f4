import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, refundWorkflowId } from '../../domain/ids.ts';
import { reasonChars } from '../../domain/ledger.ts';
import { amountSchema, currencySchema, moneyText } from '../../domain/money.ts';
import { refundStates } from '../../domain/payments.ts';
import { creditsPayment } from '../../domain/purchases.ts';
import { openRefund, refundState } from '../../stores/provider-refunds.ts';
import { findPurchase } from '../../stores/queries/purchases.ts';
import { findRefund, listRefunds } from '../../stores/queries/refunds.ts';
import { refundPurchase } from '../../stores/refunds.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, requiredIdempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'market';
const purchaseParams = z.strictObject({ id: idSchema('purchase') });
const refundSchema = z
  .object({
    id: idSchema('refund'),
    purchaseId: idSchema('purchase'),
    amount: amountSchema,
    currency: currencySchema,
    reason: z.string(),
    forced: z.boolean().describe('Although the license was used or passed on'),
    whole: z.boolean().describe('Nothing was left of the sale then, so the license was revoked'),
    at: timeSchema,
  })
  .meta({ id: 'Refund' });

/** So long a request waits for the provider's word. */
const answerMs = 5_000;
const askedSchema = z
  .object({ id: idSchema('refund'), purchaseId: idSchema('purchase'), state: z.enum(refundStates) })
  .meta({ id: 'AskedRefund' });

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
          description: 'Of a purchase by a provider: asked for there; /v1/refunds says what came of it',
          content: { 'application/json': { schema: askedSchema } },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId, role, tokenId } = callerOf(request);
      const { id: purchaseId } = request.params;
      const { amount, reason, force } = request.body;
      const purchase = await seen(ownerId, purchaseId);
      const runs = role === 'operator' && ownerId === (await principals.firstOperator());
      if (!runs && purchase.seller !== ownerId)
        throw new DomainError('FORBIDDEN', `only its seller, or who runs the marketplace, refunds ${purchaseId}`);
      if (force && !runs) throw new DomainError('FORBIDDEN', 'only who runs the marketplace may force a refund');
      const id = startedId('refund', request);
      const requestHash = createHash('sha256')
        .update(canonicalJson({ purchaseId, ...request.body } as CanonicalValue))
        .digest();
      if (purchase.payment !== creditsPayment) {
        const asked = { refundId: id, purchaseId, amount, reason, force, madeBy: tokenId };
        // What can be refused is refused here; the workflow opens it again, under the same locks.
        const { currency, ...opened } = await writeOrTry(db, true, (tx) => openRefund(tx, asked));
        if (request.query.dryRun)
          return {
            dryRun: true as const,
            would: `give back ${moneyText({ amount: opened.amount, currency })} of ${purchaseId} through ${purchase.payment}`,
          };
        const { amount: part, ...rest } = asked;
        const isNew = await starter.start({
          type: 'settleRefund',
          ownerId,
          workflowId: refundWorkflowId(id),
          args: [{ ...rest, ...(part === undefined ? {} : { amount: part }) }],
          again: 'never',
          summary: purchaseId,
          content: requestHash.toString('hex'),
        });
        if (!isNew) void reply.header('idempotent-replayed', 'true');
        const state = await awaitRow(async () => {
          const row = await refundState(db, id);
          return row === 'pending' ? undefined : row;
        }, answerMs);
        void reply.header('location', `/v1/refunds?purchaseId=${purchaseId}`);
        return reply.code(202).send({ id, purchaseId, state: state ?? ('pending' as const) });
      }
      const refund = { id, purchaseId, amount, reason, forced: force, requestHash, madeBy: tokenId };
      const made = await writeOrTry(db, request.query.dryRun, (tx) => refundPurchase(tx, refund));
      if (request.query.dryRun) {
        const { currency } = purchase.price;
        const what = amount === undefined ? 'all that is left' : moneyText({ amount, currency });
        return { dryRun: true as const, would: `give back ${what} of ${purchaseId}` };
      }
      if (!made) void reply.header('idempotent-replayed', 'true');
      const view = await findRefund(db, purchaseId, id);
      if (!view) throw new DomainError('INTERNAL', `${id} was made and is not there`);
      return reply.code(201).send(view);
    },
  });

  listRoute(app, {
    url: '/v1/purchases/:id/refunds',
    role: 'reader',
    tag,
    summary: 'What was given back of a purchase, the last first',
    item: refundSchema,
    filters: {},
    params: purchaseParams,
    key: idSchema('refund'),
    keyOf: ({ id }) => id,
    rows: async ({ ownerId, ...page }, _filters, { id }) => {
      await seen(ownerId, id);
      return listRefunds(db, { ...page, purchaseId: id });
    },
  });

  async function seen(ownerId: string, id: string) {
    const found = await findPurchase(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no purchase ${id}`);
    return found;
  }
}
