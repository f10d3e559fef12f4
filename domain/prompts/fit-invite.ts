import { z } from 'zod';
import { addressesIn } from '../addresses.ts';
import { cleanLine } from '../clean-text.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { jsonSchemaOf } from './answer-schema.ts';
import { repairReserveTokens } from './budget.ts';
import type { ChatMessage } from './chat.ts';
import { invite1, invite1Limits, type InvitePromptInput } from './invite-1.ts';

/** The reason is measured as it will be stored: one clean line. */
export const inviteAnswerSchema = z.strictObject({
  answer: z.enum(['yes', 'no']),
  reason: z
    .string()
    .overwrite(cleanLine)
    .refine((text) => addressesIn(text).length === 0, { error: 'holds an address' })
    .min(3)
    .max(invite1Limits.reasonChars),
});

export const inviteMaxTokens = 160;

export interface InvitePrompt {
  messages: ChatMessage[];
  schemaName: string;
  jsonSchema: Record<string, unknown>;
}

/** @returns undefined where it is over the model's context: all of it is needed to answer */
export function invitePrompt(input: InvitePromptInput & { contextTokens: number }): InvitePrompt | undefined {
  const messages = invite1(input);
  if (estimateMessageTokens(messages) > input.contextTokens - inviteMaxTokens - repairReserveTokens) return undefined;
  return { messages, schemaName: 'invitation', jsonSchema: jsonSchemaOf(inviteAnswerSchema) };
}
