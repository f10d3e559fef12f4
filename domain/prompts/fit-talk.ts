import type { AnswerQuestion } from '../conversations.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { firstThatFit, lineTokens } from './budget.ts';
import type { ChatMessage } from './chat.ts';
import { aliasOf } from './records.ts';
import { talk2, talk2Memory, talk2Turn } from './talk-2.ts';

/** Of what is left beside the message, earlier turns may take this share; the rest is the memories'. */
const turnShare = 0.4;

export interface TalkPrompt {
  messages: ChatMessage[];
  /** Alias (`m1`) to memory id. */
  aliases: Record<string, string>;
  /** Memories that are shown. */
  used: string[];
  estimatedTokens: number;
}

/**
 * Asks for an answer to one message, over as many of the best memories and latest turns as fit. All text that people and
 * memories bring stands as JSON between tags it cannot close; only the persona speaks to the model as itself.
 * @returns undefined where the message alone is over the context
 */
export function talkPrompt(
  question: AnswerQuestion & { contextTokens: number; maxTokens: number },
): TalkPrompt | undefined {
  const frame = estimateMessageTokens(talk2({ ...question, turns: [], memories: [] }));
  const budget = question.contextTokens - question.maxTokens - frame;
  if (budget < 0) return undefined;
  const turns = firstThatFit([...question.turns].reverse(), budget * turnShare, talk2Turn);
  const spent = turns.reduce((sum, turn) => sum + lineTokens(talk2Turn(turn)), 0);
  const longestAlias = aliasOf(question.memories.length);
  const memories = firstThatFit(question.memories, budget - spent, (memory) => talk2Memory(longestAlias, memory));
  const messages = talk2({ ...question, turns: turns.reverse(), memories });
  return {
    messages,
    aliases: Object.fromEntries(memories.map((memory, place) => [aliasOf(place), memory.id])),
    used: memories.map((memory) => memory.id),
    estimatedTokens: estimateMessageTokens(messages),
  };
}
