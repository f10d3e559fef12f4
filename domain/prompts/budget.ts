import { estimateTokens } from '../token-estimate.ts';

/** Kept free for the sentence that tells a model what was wrong with its first answer (`repaired`). */
export const repairReserveTokens = 192;

/** Tokens of a text that stands on lines of its own. */
export function lineTokens(text: string): number {
  return estimateTokens(text) + 1;
}

/** The first items whose lines fit a budget of tokens together; one that is too long is passed over. */
export function firstThatFit<Item>(items: readonly Item[], budget: number, lineOf: (item: Item) => string): Item[] {
  let spent = 0;
  return items.filter((item) => {
    const takes = lineTokens(lineOf(item));
    if (spent + takes > budget) return false;
    spent += takes;
    return true;
  });
}
