import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { slugSchema } from '../../domain/ids.ts';
import { amountSchema, currencySchema, moneyText } from '../../domain/money.ts';
import { setBudget } from '../../stores/buyers.ts';
import { listAgentBudgets } from '../../stores/queries/agent-budgets.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'market';
const url = '/v1/agents/:id/budgets';
const agentParams = z.strictObject({ id: slugSchema });
const budgetSchema = z
  .object({
    agentId: slugSchema,
    currency: currencySchema,
    amount: amountSchema.describe('What it may spend in a calendar month (UTC)'),
    spent: amountSchema.describe('This month, with what is not paid yet; what was refunded counts'),
    changedAt: timeSchema,
  })
  .meta({ id: 'AgentBudget' });

/** What agents may buy for, set by a role that their own tokens need not have. */
export function agentBudgetRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url,
    role: 'reader',
    tag,
    summary: 'What an agent may spend a month, by currency; without a budget it buys nothing',
    item: budgetSchema,
    filters: {},
    params: agentParams,
    key: currencySchema,
    keyOf: ({ currency }) => currency,
    async rows(page, _filters, { id }) {
      if (!(await findAgent(db, page.ownerId, id))) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      return listAgentBudgets(db, { ...page, agentId: id });
    },
  });

  app.route({
    method: 'POST',
    url,
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Sets what an agent may spend a month in a currency, on your credits; 0: nothing',
      querystring: writeQuery,
      params: agentParams,
      body: z.strictObject({ amount: amountSchema.min(0), currency: currencySchema }),
      response: { 200: budgetSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId, tokenId } = callerOf(request);
      const { id: agentId } = request.params;
      const money = request.body;
      if (request.query.dryRun) {
        if (!(await findAgent(db, ownerId, agentId))) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
        return { dryRun: true as const, would: `let ${agentId} spend ${moneyText(money)} a month` };
      }
      await setBudget(db, { ownerId, agentId, money, madeBy: tokenId });
      const budgets = await listAgentBudgets(db, { ownerId, agentId, limit: 200, after: undefined });
      return budgets.find(({ currency }) => currency === money.currency)!;
    },
  });
}
