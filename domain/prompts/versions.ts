import type { ChatMessage } from './chat.ts';
import { questions1 } from './questions-1.ts';
import { questions2 } from './questions-2.ts';
import type { ReflectPromptInput } from './records.ts';
import { reflect2 } from './reflect-2.ts';
import { reflect3 } from './reflect-3.ts';

/**
 * Files of this folder: `NAME-N.ts` holds the words of version NAME/N and nothing else, `fit-NAME.ts` puts into the version
 * asked today what fits a model's context, and the rest is what several of these share. Words that were sent once never
 * change: test/unit/prompts.test.ts holds each version by its hash.
 */

/** What is asked today, as stored calls, answers and personas name it. */
export const inviteVersion = 'invite/1';
export const dropVersion = 'drop/1';
export const judgeVersion = 'judge/1';
export const personaVersion = 'persona/2';
export const questionsVersion = 'questions/2';
export const reflectVersion = 'reflect/3';
export const talkVersion = 'talk/2';
export const voteVersion = 'vote/1';

/** Every prompt of reflection that is or was asked: an old one stays, so that what was sent can be shown. */
const reflectVersions = {
  'questions/1': questions1,
  'questions/2': questions2,
  'reflect/2': reflect2,
  'reflect/3': reflect3,
} as const satisfies Record<string, (input: ReflectPromptInput) => ChatMessage[]>;
export type ReflectPromptVersion = keyof typeof reflectVersions;

export function isReflectPromptVersion(version: string): version is ReflectPromptVersion {
  return Object.hasOwn(reflectVersions, version);
}

/** @param repair what the model was told of an earlier answer that did not follow the schema */
export function reflectPromptMessages(
  version: ReflectPromptVersion,
  input: ReflectPromptInput,
  repair: string | null = null,
): ChatMessage[] {
  const messages = reflectVersions[version](input);
  return repair === null ? messages : repaired(messages, repair);
}

/** The bad answer is not sent back: it could be as long as the answer itself, and the context is full. */
export function repaired(messages: readonly ChatMessage[], problem: string): ChatMessage[] {
  const told = `\n\nAn earlier answer was not accepted: ${problem}. Answer again with the one JSON object only.`;
  return messages.map((message, i) =>
    i === messages.length - 1 ? { ...message, content: message.content + told } : message,
  );
}
