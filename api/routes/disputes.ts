import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { amountSchema, currencySchema } from '../../domain/money.ts';
import { disputeStates } from '../../domain/payments.ts';
import { listDisputes } from '../../stores/queries/payments.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const disputeSchema = z
  .object({
    id: z.string().describe('The provider’s'),
    purchaseId: idSchema('purchase'),
    provider: z.string(),
    amount: amountSchema,
    currency: currencySchema,
    reserved: amountSchema.describe('What of it was left of the sale to be set aside'),
    reason: z.string(),
    state: z.enum(disputeStates),
    openedAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Dispute' });

export function disputeRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/disputes',
    role: 'reader',
    tag: 'payments',
    summary:
      'Payments disputed at the buyer’s bank, of purchases that you made or sold; who runs the marketplace sees all',
    item: disputeSchema,
    filters: { purchaseId: idSchema('purchase').optional(), state: z.enum(disputeStates).optional() },
    params: z.object({}),
    key: z.string().regex(/^[\x21-\x7e]{1,100}$/),
    keyOf: ({ id }) => id,
    rows: (page, filters) => listDisputes(db, { ...page, ...filters }),
  });
}
