import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { callPeriod, idSchema, reconcileWorkflowId } from '../../domain/ids.ts';
import { accountKinds, transferKinds } from '../../domain/ledger.ts';
import { amountSchema, currencySchema } from '../../domain/money.ts';
import { discrepancyKinds } from '../../domain/reconciliation.ts';
import { listBlessingShares } from '../../stores/queries/blessing-shares.ts';
import { findLedgerTransfer, listLedgerAccounts, listLedgerTransfers } from '../../stores/queries/ledger.ts';
import { listReconciliations } from '../../stores/queries/reconciliations.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const accountId = idSchema('ledgerAccount');
const transferId = z
  .string()
  .max(200)
  .regex(/^[a-z]+(?::[A-Za-z0-9_.-]+)+$/, 'must be a kind and what it is of, such as sale:pur_…');
const holderSchema = z.string().describe('A user, a provider, or empty for what the platform holds itself');

const accountSchema = z
  .object({
    id: accountId,
    kind: z.enum(accountKinds),
    holder: holderSchema,
    currency: currencySchema,
    balance: amountSchema,
    version: z.int().describe('Entries so far'),
    createdAt: timeSchema,
  })
  .meta({ id: 'LedgerAccount' });

const transferSchema = z
  .object({
    id: transferId,
    seq: z.int(),
    kind: z.enum(transferKinds),
    currency: currencySchema,
    purchaseId: z.string().nullable(),
    reason: z.string(),
    credited: amountSchema.describe('What came to accounts that the caller may see'),
    debited: amountSchema.describe('What left accounts that the caller may see'),
    at: timeSchema,
  })
  .meta({ id: 'LedgerTransfer' });

const transferDetailSchema = transferSchema
  .extend({
    madeBy: z.string().nullable().describe('A token or a workflow; null for who is not the owner of the books'),
    entries: z.array(
      z.object({
        accountId,
        kind: z.enum(accountKinds),
        holder: holderSchema,
        amount: amountSchema,
        balance: amountSchema.describe('Of the account with this entry'),
        version: z.int(),
      }),
    ),
  })
  .meta({ id: 'LedgerTransferDetail' });

const reconciliationSchema = z
  .object({
    period: z.string(),
    madeAt: timeSchema,
    accounts: z.int(),
    transfers: z.int(),
    entries: z.int(),
    discrepancies: z.int().describe('Places where the books do not add up'),
    found: z
      .array(
        z.object({
          kind: z.enum(discrepancyKinds),
          subject: z.string(),
          expected: z.string(),
          found: z.string(),
        }),
      )
      .describe('The first of them'),
  })
  .meta({ id: 'LedgerReconciliation' });

const blessingShareSchema = z
  .object({
    period: z.string(),
    madeAt: timeSchema,
    blessings: z.int().nullable().describe('Counted, of everybody; null to who does not run the marketplace'),
    shared: z
      .array(z.object({ currency: currencySchema, pool: amountSchema, shared: amountSchema }))
      .nullable()
      .describe('Out of what the pool held; what does not divide stays in it'),
    yourBlessings: z.int().describe('That your agents received'),
    yours: z.array(z.object({ amount: amountSchema, currency: currencySchema })).describe('What they came to'),
  })
  .meta({ id: 'BlessingShare' });

/** Time and period: two may be of one moment. */
const madeAtAndPeriod = z.string().regex(/^\d{4}-\d\d-\d\dT[\d:.]+Z [\x21-\x7e]{1,100}$/);

export function ledgerRoutes(app: Api, { db, starter }: ApiContext): void {
  listRoute(app, {
    url: '/v1/ledger/accounts',
    role: 'reader',
    tag: 'ledger',
    summary: 'Accounts of the ledger: who runs the marketplace sees all, others their own',
    item: accountSchema,
    filters: { kind: z.enum(accountKinds).optional(), currency: currencySchema.optional() },
    params: z.object({}),
    key: accountId,
    keyOf: (account) => account.id,
    rows: (page, filters) => listLedgerAccounts(db, { ...page, ...filters }),
  });

  listRoute(app, {
    url: '/v1/ledger/transfers',
    role: 'reader',
    tag: 'ledger',
    summary: 'Transfers that touched those accounts, the last posted first',
    item: transferSchema,
    filters: {
      kind: z.enum(transferKinds).optional(),
      purchaseId: z.string().max(100).optional(),
      accountId: accountId.optional(),
    },
    params: z.object({}),
    key: z.string().regex(/^[1-9]\d{0,15}$/),
    keyOf: ({ seq }) => String(seq),
    rows: (page, filters) => listLedgerTransfers(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/ledger/transfers/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['ledger'],
      summary: 'One transfer with its entries; a holder sees their own sides alone',
      params: z.strictObject({ id: transferId }),
      response: { 200: transferDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const transfer = await findLedgerTransfer(db, callerOf(request).ownerId, request.params.id);
      if (!transfer) throw new DomainError('NOT_FOUND', `no transfer ${request.params.id}`);
      return transfer;
    },
  });

  listRoute(app, {
    url: '/v1/ledger/reconciliations',
    role: 'reader',
    tag: 'ledger',
    summary: 'Passes over the books and what they found, the last first',
    item: reconciliationSchema,
    filters: { period: z.string().max(100).optional() },
    params: z.object({}),
    key: madeAtAndPeriod,
    keyOf: ({ madeAt, period }) => `${madeAt} ${period}`,
    rows: (page, filters) => listReconciliations(db, { ...page, ...filters }),
  });

  listRoute(app, {
    url: '/v1/ledger/blessing-shares',
    role: 'reader',
    tag: 'ledger',
    summary:
      'How the blessing pool was shared out, the last first: of the marketplace that you run, or what you got of it',
    item: blessingShareSchema,
    filters: {},
    params: z.object({}),
    key: madeAtAndPeriod,
    keyOf: ({ madeAt, period }) => `${madeAt} ${period}`,
    rows: (page) => listBlessingShares(db, page),
  });

  app.route({
    method: 'POST',
    url: '/v1/ledger/reconcile',
    config: { role: 'operator' },
    schema: {
      tags: ['ledger'],
      summary: 'Looks now whether the books add up; the result is listed under its period',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: emptyBody,
      response: {
        200: dryRunSchema,
        202: z.object({ workflowId: z.string(), period: z.string(), started: z.boolean() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      if (request.query.dryRun) return { dryRun: true as const, would: 'pass over every account, transfer and entry' };
      const period = callPeriod(requestIdOf(request));
      const workflowId = reconcileWorkflowId(period);
      const started = await starter.start({
        type: 'reconcileLedger',
        ownerId,
        workflowId,
        args: [{ period, ownerId }],
        again: 'failed',
        summary: 'reconciliation of the ledger, by hand',
        content: 'all',
      });
      void reply.header('location', `/v1/ledger/reconciliations?period=${period}`);
      return reply.code(202).send({ workflowId, period, started });
    },
  });
}
