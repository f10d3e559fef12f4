import { z } from 'zod';
import { budgetOf, budgetScopes } from '../../domain/token-budgets.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import { listTokenDay } from '../../stores/token-budgets.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import type { Api } from '../types.ts';

const budgetSchema = z
  .object({
    scope: z.enum(budgetScopes).describe('service: a token of the API, by its name'),
    subject: z.string(),
    tokens: z.int().describe('Reserved and spent today (UTC)'),
    budget: z.int().nullable().describe('Tokens a day by fleet.yaml; null: none, it is only counted'),
  })
  .meta({ id: 'TokenBudget' });

export function tokenBudgetRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/token-budgets',
    role: 'operator',
    tag: 'fleet',
    summary: 'Tokens of today by agent, archetype and service, with the budget of each',
    item: budgetSchema,
    filters: {},
    params: z.object({}),
    key: z.string().regex(/^(agent|archetype|service)\/[^\0]{1,200}$/),
    keyOf: ({ scope, subject }) => `${scope}/${subject}`,
    rows: async (page) => {
      const [rows, fleet] = await Promise.all([listTokenDay(db, page), findFleet(db, page.ownerId)]);
      return rows.map((row) => ({
        ...row,
        budget: fleet ? budgetOf(fleet.fleet.budgets, row.scope, row.subject) : null,
      }));
    },
  });
}
