import { z } from 'zod';
import { slugSchema } from './ids.ts';

/** Who a budget of tokens is of: an agent, all agents of an archetype together, a service, or else a token of the API by its name. */
export const budgetScopes = ['agent', 'archetype', 'service'] as const;
export type BudgetScope = (typeof budgetScopes)[number];

const tokens = z.int().min(0).max(1_000_000_000_000);

/** Of a day in UTC, enforced; without any, tokens are only counted. `tokensPerDay` of an archetype is what it is planned with, no cap. */
export const budgetsSchema = z.strictObject({
  /** Of every agent that has none of its own in `agents`. */
  eachAgent: tokens.optional(),
  agents: z.record(slugSchema, tokens).default({}),
  archetypes: z.record(slugSchema, tokens).default({}),
  /** By the service whose token asks, else by the token's name. */
  services: z.record(z.string().min(1).max(127), tokens).default({}),
});
export type TokenBudgets = z.infer<typeof budgetsSchema>;

/** Tokens a day; null: no budget. */
export function budgetOf(budgets: TokenBudgets, scope: BudgetScope, subject: string): number | null {
  const own = { agent: budgets.agents, archetype: budgets.archetypes, service: budgets.services }[scope][subject];
  return own ?? (scope === 'agent' ? (budgets.eachAgent ?? null) : null);
}

/** What one inference step is about to take. */
export interface TokenSpend {
  /** Of the step: however often it runs, it counts once. */
  key: string;
  /** Absent: a service asks for itself, by `askedBy`. */
  agentId?: string;
  /** The token of the API that asked for it. */
  askedBy?: string | undefined;
  /** Output tokens that the step may take at the most: reserved before the call. */
  most: number;
}
