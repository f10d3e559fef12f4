import { z } from 'zod';
import { addressesIn } from '../addresses.ts';
import { cleanLine, cleanText } from '../clean-text.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { jsonSchemaOf } from './answer-schema.ts';
import { lineTokens, repairReserveTokens } from './budget.ts';
import type { ChatMessage } from './chat.ts';
import { drop1, drop1Limits, drop1Reflection, type DropPromptInput } from './drop-1.ts';

/** What nobody has read yet holds nothing that leads elsewhere. */
const withoutAddress = (text: string) => addressesIn(text).length === 0;
const line = (most: number) =>
  z.string().overwrite(cleanLine).refine(withoutAddress, { error: 'holds an address' }).min(1).max(most);
const text = (most: number) =>
  z.string().overwrite(cleanText).refine(withoutAddress, { error: 'holds an address' }).min(20).max(most);

export const dropOutputSchema = z.strictObject({
  title: line(drop1Limits.titleChars),
  body: text(drop1Limits.bodyChars),
  short: text(drop1Limits.shortChars),
  narration: text(drop1Limits.narrationChars),
  evidence: z.array(z.string().max(10)).min(1).max(20),
});

/** Answer tokens of the longest drop that the schema allows. */
export const dropMaxTokens = 1_000;

export interface DropPrompt {
  messages: ChatMessage[];
  schemaName: string;
  jsonSchema: Record<string, unknown>;
  /** Reflections that were shown: `r1` is the first. */
  shown: number;
}

/** The prompt with as many of the newest reflections as fit. All of its texts are data: nothing in them is followed. */
export function dropPrompt({ contextTokens, ...input }: DropPromptInput & { contextTokens: number }): DropPrompt {
  const frame = estimateMessageTokens(drop1({ ...input, reflections: [] }));
  let budget = contextTokens - dropMaxTokens - repairReserveTokens - frame;
  // Those shown are the first ones, so that their numbers are their places.
  const end = input.reflections.findIndex((reflection, place) => {
    budget -= lineTokens(drop1Reflection(reflection, place));
    return budget < 0;
  });
  const shown = end === -1 ? input.reflections.length : end;
  return {
    messages: drop1({ ...input, reflections: input.reflections.slice(0, shown) }),
    schemaName: 'drop',
    jsonSchema: jsonSchemaOf(dropOutputSchema),
    shown,
  };
}
