import { cleanText } from './clean-text.ts';
import type { ReflectingAgent } from './reflections.ts';

/** What a conversation with an agent is made of: what was said, what came to mind, what was answered and on what it rests. */

export type AnswerSource = 'model' | 'extractive';

/** A memory that an answer may lean on. */
export interface RecalledMemory {
  id: string;
  text: string;
  /** ISO time. */
  occurredAt: string;
  /** ISO time at which it ceased to hold; absent while it holds. */
  until?: string;
}

/** An earlier message of the conversation with its answer. */
export interface Turn {
  author: string;
  text: string;
  answer: string;
}

/** A place of the answer, such as `[m3]`, and the memory it names. */
export interface Citation {
  alias: string;
  memoryId: string;
}

export interface AnswerQuestion {
  agent: ReflectingAgent;
  /** Who speaks, as the agent sees it. */
  author: string;
  text: string;
  /** Oldest first. */
  turns: readonly Turn[];
  /** Best first. */
  memories: readonly RecalledMemory[];
}

/** What one answer came to, as an activity stores it. */
export interface AnswerOutcome {
  source: AnswerSource;
  text: string;
  citations: Citation[];
  /** Output tokens. */
  tokens: number;
  promptTokens?: number;
  promptVersion: string;
  /** Null where no model was asked. */
  seed: number | null;
  /** Whether it ended at the token limit and not by itself. */
  cut: boolean;
}

export const messageLimits = { textChars: 8_000, authorChars: 60, answerChars: 8_000, turns: 8 } as const;

/** How much a conversation weighs among memories, 1 to 10: middling, since nobody has said otherwise. */
export const conversationImportance = 5;
export const replyImportance = 4;

/** Output tokens an answer may take: a quarter of the context, at most what a page holds. */
export function answerMaxTokens(contextTokens: number): number {
  return Math.min(768, Math.floor(contextTokens / 4));
}

const bracketed = /\s?\[(m\d+(?:\s*[,;]\s*m\d+)*)\]/g;

/** The memories an answer names, each once and in the order of its text; a name that was never shown is taken out of the text. */
export function resolveCitations(
  text: string,
  aliases: Readonly<Record<string, string>>,
): { text: string; citations: Citation[] } {
  const cited = new Map<string, string>();
  const resolved = text.replaceAll(bracketed, (whole, names: string) => {
    const known = names.split(/\s*[,;]\s*/).filter((alias) => Object.hasOwn(aliases, alias));
    for (const alias of known) cited.set(alias, aliases[alias]!);
    const space = whole.startsWith('[') ? '' : whole[0]!;
    return known.length === 0 ? '' : `${space}${known.map((alias) => `[${alias}]`).join('')}`;
  });
  return { text: resolved.trim(), citations: [...cited].map(([alias, memoryId]) => ({ alias, memoryId })) };
}

/** An answer as it may be shown and stored: clean text, at most a page of it. */
export function cleanedAnswer(text: string): string {
  return cleanText(text)
    .slice(0, messageLimits.answerChars)
    .replace(/[\uD800-\uDBFF]$/, '');
}

const opens = '<think>';
const closes = '</think>';

/**
 * Lets a stream of text pass without the thoughts that some models write before their answer. What may yet turn out to be
 * the tag is held back until it is known.
 */
export function createThoughtFilter(): { pass(piece: string): string; end(): string } {
  let held = '';
  let at: 'start' | 'thinking' | 'gap' | 'answer' = 'start';
  return {
    pass(piece) {
      if (at === 'answer') return piece;
      held += piece;
      if (at === 'start') {
        const begun = held.trimStart();
        if (begun.length < opens.length && opens.startsWith(begun)) return '';
        at = begun.startsWith(opens) ? 'thinking' : 'answer';
      }
      if (at === 'thinking') {
        const end = held.indexOf(closes);
        if (end < 0) return '';
        at = 'gap';
        held = held.slice(end + closes.length);
      }
      if (at === 'gap') {
        held = held.trimStart();
        if (held === '') return '';
        at = 'answer';
      }
      const rest = held;
      held = '';
      return rest;
    },
    /** What was held back and is no thought after all. */
    end() {
      const rest = at === 'start' ? held : '';
      held = '';
      return rest;
    },
  };
}

/** The same message asks a model with the same seed, on whatever machine. */
export function seedOf(messageId: string): number {
  let hash = 2_166_136_261;
  for (let i = 0; i < messageId.length; i += 1) hash = Math.imul(hash ^ messageId.charCodeAt(i), 16_777_619);
  return hash >>> 1;
}
