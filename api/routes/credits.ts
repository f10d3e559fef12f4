import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { reasonChars } from '../../domain/ledger.ts';
import { amountSchema, currencySchema, moneyText } from '../../domain/money.ts';
import { creditsGranted } from '../../domain/postings.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { findLedgerTransfer } from '../../stores/queries/ledger.ts';
import type { ApiContext } from '../context.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { requiredIdempotencyHeaders, startedId } from '../workflow-starts.ts';

const grantSchema = z
  .object({
    transferId: z.string(),
    userId: idSchema('user'),
    amount: amountSchema,
    currency: currencySchema,
    reason: z.string(),
    balance: amountSchema.describe('Credits that the user had with it'),
    at: timeSchema,
  })
  .meta({ id: 'CreditGrant' });

export function creditRoutes(app: Api, { db, principals }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/credits/grants',
    config: { role: 'operator' },
    schema: {
      tags: ['ledger'],
      summary: 'Gives a user credits to buy with; the same Idempotency-Key gives them once',
      querystring: writeQuery,
      headers: requiredIdempotencyHeaders,
      body: z.strictObject({
        userId: idSchema('user'),
        amount: amountSchema.min(1),
        currency: currencySchema,
        reason: textSchema(reasonChars),
      }),
      response: { 200: dryRunSchema, 201: grantSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const { userId, amount, currency, reason } = request.body;
      if (!(await principals.user(userId))) throw new DomainError('NOT_FOUND', `no user ${userId}`);
      const money = { amount, currency };
      if (request.query.dryRun)
        return { dryRun: true as const, would: `give ${userId} credits of ${moneyText(money)}` };
      const posting = creditsGranted({ grantId: startedId('grant', request), userId, money, reason });
      const [posted] = await db
        .transaction()
        .execute((tx) => postTransfers(tx, { ownerId, madeBy: tokenId }, [posting]));
      // Read as it was posted, so that every repetition has the same answer.
      const transfer = await findLedgerTransfer(db, ownerId, posting.id);
      const credited = transfer?.entries.find(({ kind }) => kind === 'credits');
      if (!transfer || !credited) throw new DomainError('INTERNAL', `${posting.id} was posted and is not there`);
      if (!posted) void reply.header('idempotent-replayed', 'true');
      void reply.header('location', `/v1/ledger/transfers/${transfer.id}`);
      return reply.code(201).send({
        transferId: transfer.id,
        userId,
        amount,
        currency,
        reason: transfer.reason,
        balance: credited.balance,
        at: transfer.at,
      });
    },
  });
}
