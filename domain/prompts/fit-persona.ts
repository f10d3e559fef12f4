import { z } from 'zod';
import { addressesIn } from '../addresses.ts';
import { cleanLine } from '../clean-text.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { jsonSchemaOf } from './answer-schema.ts';
import { firstThatFit, repairReserveTokens } from './budget.ts';
import type { ChatMessage } from './chat.ts';
import { persona2, persona2Limits, persona2Memory, type PersonaPromptInput } from './persona-2.ts';

/** Measured as it will be stored: one clean line. */
const lineSchema = z
  .string()
  .overwrite(cleanLine)
  .refine((text) => addressesIn(text).length === 0, { error: 'holds an address' });

export const personaOutputSchema = z.strictObject({
  persona: lineSchema.min(60).max(persona2Limits.personaChars),
  traits: z.array(lineSchema.min(2).max(30)).min(1).max(persona2Limits.traits),
});

/** Answer tokens of the longest persona that the schema allows. */
export const personaMaxTokens = 400;

export interface PersonaPrompt {
  messages: ChatMessage[];
  schemaName: string;
  jsonSchema: Record<string, unknown>;
}

/** The prompt with as many of the best memories as fit. All of its texts are data: nothing in them is followed. */
export function personaPrompt(input: PersonaPromptInput & { contextTokens: number }): PersonaPrompt {
  const frame = estimateMessageTokens(persona2({ ...input, memories: [] }));
  const budget = input.contextTokens - personaMaxTokens - repairReserveTokens - frame;
  const memories = firstThatFit(input.memories, budget, persona2Memory);
  return {
    messages: persona2({ ...input, memories }),
    schemaName: 'persona',
    jsonSchema: jsonSchemaOf(personaOutputSchema),
  };
}
