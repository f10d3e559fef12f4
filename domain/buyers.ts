import { DomainError } from './errors.ts';
import { type Money, moneyText } from './money.ts';

/** Who may buy: a user with a verified address, and an agent of theirs within the budget that they gave it. */
export interface Buyer {
  userId: string;
  /** Undefined: there is no such user any more. */
  user: { verified: boolean } | undefined;
  /** Runs the marketplace: known by the installation itself, to which no link is mailed. */
  runsMarketplace: boolean;
  /** The agent that buys for the user, with what it may spend in the currency of the price; null: it has no budget in it. */
  agent?: { id: string; budget: Spending | null };
}

/** Of one agent in one currency, in a calendar month (UTC); minor units. */
export interface Spending {
  most: number;
  /** Purchases of the month that are open or completed; what was refunded of them is not given back to the budget. */
  spent: number;
}

/** @returns why this buyer may not buy at this price; undefined where they may */
export function buyerRefusal({ userId, user, runsMarketplace, agent }: Buyer, price: Money): DomainError | undefined {
  if (user === undefined) return new DomainError('NOT_FOUND', `no user ${userId}`);
  if (!user.verified && !runsMarketplace)
    return new DomainError('ADDRESS_NOT_VERIFIED', 'only who has a verified mail address buys');
  if (agent === undefined) return undefined;
  const { id, budget } = agent;
  if (budget === null) return new DomainError('BUDGET_EXCEEDED', `${id} has no budget in ${price.currency}`);
  const left = Math.max(0, budget.most - budget.spent);
  if (price.amount <= left) return undefined;
  const [costs, rest] = [price.amount, left].map((amount) => moneyText({ amount, currency: price.currency }));
  return new DomainError('BUDGET_EXCEEDED', `it costs ${costs}, and ${id} may spend ${rest} more this month`);
}
