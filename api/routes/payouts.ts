import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { amountSchema, currencySchema } from '../../domain/money.ts';
import { paymentProviders, payoutStates } from '../../domain/payments.ts';
import { listPayouts } from '../../stores/queries/payments.ts';
import type { Payout } from '../../stores/payouts.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const payoutId = idSchema('payout');

const payoutSchema = z
  .object({
    id: payoutId,
    userId: idSchema('user'),
    provider: z.string().describe('`by_hand`: an operator pays, and says so'),
    amount: amountSchema,
    currency: currencySchema,
    state: z.enum(payoutStates),
    reference: z.string().nullable(),
    reason: z.string(),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Payout' });

const endedSchema = z.object({ id: payoutId, state: z.enum(payoutStates) });
const accountSchema = z.object({ userId: idSchema('user'), provider: z.string(), account: z.string().nullable() });

/** Money on its way to creators. */
export function payoutRoutes(app: Api, { db, payouts, principals }: ApiContext): void {
  listRoute(app, {
    url: '/v1/payouts',
    role: 'reader',
    tag: 'payments',
    summary: 'Payouts to creators: who runs the marketplace sees all, creators their own; the last first',
    item: payoutSchema,
    filters: { userId: idSchema('user').optional(), state: z.enum(payoutStates).optional() },
    params: z.object({}),
    key: payoutId,
    keyOf: ({ id }) => id,
    rows: (page, filters) => listPayouts(db, { ...page, ...filters }),
  });

  const params = z.strictObject({ id: payoutId });
  const responses = { 200: endedSchema.or(dryRunSchema), ...problemResponses };
  const ended = ({ id, state }: Payout) => ({ id, state });

  app.route({
    method: 'POST',
    url: '/v1/payouts/:id/paid',
    config: { role: 'operator' },
    schema: {
      tags: ['payments'],
      summary: 'Says that a payout by hand has arrived; said again it is the same',
      querystring: writeQuery,
      params,
      body: z.strictObject({ reference: textSchema(200).describe('What the bank calls it') }),
      response: responses,
    },
    handler: async (request) => {
      const { id } = request.params;
      const { ownerId, tokenId: madeBy } = callerOf(request);
      const { dryRun } = request.query;
      const paid = { paid: request.body };
      const payout = await writeOrTry(db, dryRun, (tx) => payouts.end(id, paid, { ownerId, madeBy }, tx));
      return dryRun ? { dryRun: true as const, would: `say that ${id} was paid` } : ended(payout);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/payouts/:id/failed',
    config: { role: 'operator' },
    schema: {
      tags: ['payments'],
      summary: 'Says that a payout by hand could not be made: the money is the creator’s again',
      querystring: writeQuery,
      params,
      body: z.strictObject({ reason: textSchema(300) }),
      response: responses,
    },
    handler: async (request) => {
      const { id } = request.params;
      const { ownerId, tokenId: madeBy } = callerOf(request);
      const { dryRun } = request.query;
      const failed = { failed: request.body.reason };
      const payout = await writeOrTry(db, dryRun, (tx) => payouts.end(id, failed, { ownerId, madeBy }, tx));
      return dryRun ? { dryRun: true as const, would: `give ${id} back to its creator` } : ended(payout);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/payouts/accounts',
    config: { role: 'operator' },
    schema: {
      tags: ['payments'],
      summary: 'Where a creator is paid from now on; without an account, by hand',
      querystring: writeQuery,
      body: z.strictObject({
        userId: idSchema('user'),
        provider: z.enum(paymentProviders),
        account: z
          .string()
          .regex(/^acct_[A-Za-z0-9]{1,60}$/, 'must be a connected account of Stripe, acct_…')
          .nullable()
          .describe('null: by hand'),
      }),
      response: { 200: accountSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId, tokenId: madeBy } = callerOf(request);
      const { userId, provider, account } = request.body;
      if (ownerId !== (await principals.firstOperator()))
        throw new DomainError('FORBIDDEN', 'only who runs the marketplace says where creators are paid');
      if (request.query.dryRun)
        return { dryRun: true as const, would: `pay ${userId} ${account === null ? 'by hand' : `to ${account}`}` };
      await payouts.setAccount({ ownerId, userId, madeBy }, account === null ? null : { provider, account });
      return { userId, provider, account };
    },
  });
}
