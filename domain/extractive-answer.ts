import { cleanLine } from './clean-text.ts';
import type { AnswerOutcome, AnswerQuestion, RecalledMemory } from './conversations.ts';
import { clipped } from './extractive.ts';
import { normalisedText } from './plain-text.ts';
import { aliasOf } from './prompts/records.ts';
import { termsOf } from './terms.ts';

const extractiveAnswerVersion = 'extractive-answer/2';
const mostQuotes = 3;

/**
 * An answer without a model: sentences of the memories that came to mind, quoted as they stand, each with its memory. Only
 * the frame around the quotes is ours. Same question and memories, same answer.
 */
export function extractiveAnswer({ text, memories }: Pick<AnswerQuestion, 'text' | 'memories'>): AnswerOutcome {
  const asked = new Set(termsOf(text).map(([term]) => term));
  const seen = new Set<string>();
  const quotes = memories
    .map((memory, place) => ({ memory, place, ...sentenceFor(memory, asked) }))
    // Those that share words with the question first; among them the order in which they came to mind.
    .sort((a, b) => Number(b.shared > 0) - Number(a.shared > 0) || a.place - b.place)
    .filter(({ sentence }) => {
      const key = normalisedText(sentence);
      if (key === '' || seen.has(key)) return false;
      seen.add(key);
      return true;
    })
    .slice(0, mostQuotes);
  const related = quotes.filter(({ shared }) => shared > 0);
  const shown = related.length > 0 ? related : quotes;
  const frame =
    shown.length === 0
      ? 'I remember nothing.'
      : related.length > 0
        ? 'What I remember of that:'
        : 'I remember nothing of that. What comes to mind:';
  const said = shown.map(({ sentence, memory }, i) => {
    const on = memory.occurredAt.slice(0, 10);
    const until = memory.until === undefined ? '' : ` until ${memory.until.slice(0, 10)}`;
    return `“${clipped(sentence)}” (${on}${until}) [${aliasOf(i)}]`;
  });
  const answer = [frame, ...said].join(' ');
  return {
    source: 'extractive',
    text: answer,
    citations: shown.map(({ memory }, i) => ({ alias: aliasOf(i), memoryId: memory.id })),
    tokens: Math.ceil(answer.split(/\s+/u).length / 0.75),
    promptVersion: extractiveAnswerVersion,
    seed: null,
    cut: false,
  };
}

/** The sentence of a memory that shares most words with the question, the first among equals. */
function sentenceFor(memory: RecalledMemory, asked: ReadonlySet<string>): { sentence: string; shared: number } {
  const sentences = (cleanLine(memory.text).match(/[^.!?。！？]+[.!?。！？]*["”’)]*/gu) ?? []).map((part) =>
    part.trim(),
  );
  let best = { sentence: sentences[0] ?? cleanLine(memory.text), shared: 0 };
  for (const sentence of sentences) {
    const shared = new Set(
      termsOf(sentence)
        .map(([term]) => term)
        .filter((term) => asked.has(term)),
    ).size;
    if (shared > best.shared) best = { sentence, shared };
  }
  return best;
}
