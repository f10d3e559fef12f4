import { z } from 'zod';
import { judgementLimits, personaQuestions } from '../consistency.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { jsonSchemaOf } from './answer-schema.ts';
import { repairReserveTokens } from './budget.ts';
import type { ChatMessage } from './chat.ts';
import { judge1, type JudgePromptInput } from './judge-1.ts';

export interface JudgePrompt {
  messages: ChatMessage[];
  jsonSchema: Record<string, unknown>;
  /** Ids that a verdict is asked on. */
  asked: string[];
}

/** The prompt with as many of the latest lines as fit; undefined where not even one does. */
export function judgePrompt(
  input: Pick<JudgePromptInput, 'kind' | 'agent'> & { lines: readonly string[]; contextTokens: number },
): JudgePrompt | undefined {
  const { kind, agent, contextTokens } = input;
  const questions = personaQuestions(agent).map((text, i) => ({ id: `q${i + 1}`, text }));
  const all = input.lines.map((text, i) => ({ id: `l${i + 1}`, text }));
  const room = contextTokens - judgementLimits.maxTokens - repairReserveTokens;
  for (let from = 0; from < all.length; from += 1) {
    const lines = all.slice(from);
    const messages = judge1({ kind, agent, lines, questions });
    if (estimateMessageTokens(messages) > room) continue;
    const asked = (kind === 'answers' ? questions : lines).map(({ id }) => id);
    return { messages, asked, jsonSchema: jsonSchemaOf(verdictsOn(asked)) };
  }
  return undefined;
}

function verdictsOn(ids: readonly string[]): z.ZodType {
  const verdict = z.object({
    id: z.enum(ids as [string, ...string[]]),
    consistent: z.union([z.literal(0), z.literal(1)]),
  });
  return z.object({ verdicts: z.array(verdict).max(ids.length) });
}
