import type { ChatMessage } from './chat.ts';
import type { PromptInput } from './prompt-input.ts';
import { questions1 } from './questions-1.ts';
import { reflect2 } from './reflect-2.ts';

/**
 * Every prompt that is or was asked, by the version that stored calls name: an old one stays, so that what was sent can be
 * shown. test/unit/prompts.test.ts holds the text of each version.
 */
const versions = {
  'questions/1': questions1,
  'reflect/2': reflect2,
} as const satisfies Record<string, (input: PromptInput) => ChatMessage[]>;
export type PromptVersion = keyof typeof versions;

export const promptVersions = Object.keys(versions) as PromptVersion[];
/** What is asked today. */
export const questionsPrompt: PromptVersion = 'questions/1';
export const reflectPrompt: PromptVersion = 'reflect/2';

/** @param repair what the model was told of an earlier answer that did not follow the schema */
export function promptMessages(
  version: PromptVersion,
  input: PromptInput,
  repair: string | null = null,
): ChatMessage[] {
  const messages = versions[version](input);
  return repair === null ? messages : repaired(messages, repair);
}

/** The bad answer is not sent back: it could be as long as the answer itself, and the context is full. */
export function repaired(messages: readonly ChatMessage[], problem: string): ChatMessage[] {
  const told = `\n\nAn earlier answer was not accepted: ${problem}. Answer again with the one JSON object only.`;
  return messages.map((message, i) =>
    i === messages.length - 1 ? { ...message, content: message.content + told } : message,
  );
}
