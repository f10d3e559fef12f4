import { cleanLine } from './clean-text.ts';
import { normalisedText } from './plain-text.ts';
import { earlierFirst, type Insight, type ReflectableMemory } from './reflections.ts';
import { termsOf } from './terms.ts';

export const extractiveVersion = 'extractive/1';

const maxTopics = 3;
/** Memories that repeat one sentence make topics without two quotes; looking on for ever would find no other. */
const maxTries = 50;
const quotesPerInsight = 3;
const quoteChars = 150;

interface Sentence {
  memory: ReflectableMemory;
  text: string;
  terms: ReadonlySet<string>;
}

/**
 * Insights without a model: up to three subjects that come back in several memories, each shown by sentences quoted
 * from them. Nothing is worded anew but the frame around the quotes. Same memories, same insights.
 */
export function extractInsights(memories: readonly ReflectableMemory[], agentName: string): Insight[] {
  const ordered = [...memories].sort(earlierFirst);
  const ownName = new Set(termsOf(agentName).map(([term]) => term));
  const surface = new Map<string, string>();
  const sentences = ordered.map((memory) => sentencesOf(memory, ownName, surface));
  const holders = new Map<string, number[]>();
  sentences.forEach((list, i) => {
    for (const term of new Set(list.flatMap((sentence) => [...sentence.terms]))) {
      const held = holders.get(term);
      if (held) held.push(i);
      else holders.set(term, [i]);
    }
  });

  const insights: Insight[] = [];
  const spent = new Set<number>();
  const quoted = new Set<string>();
  for (let tries = 0; tries < maxTries && insights.length < maxTopics; tries += 1) {
    const topic = bestTopic(holders, ordered, spent);
    if (topic === undefined) break;
    holders.delete(topic.term);
    const quotes = quotesOf(topic, sentences, quoted);
    // A memory told in the same words twice is no second memory.
    if (quotes.length < 2) continue;
    for (const { index, text } of quotes) {
      spent.add(index);
      quoted.add(normalisedText(text));
    }
    insights.push(insightOf(`“${surface.get(topic.term) ?? topic.term}” comes back`, quotes, ordered));
  }
  return insights.length > 0 ? insights : heaviest(ordered, sentences);
}

/** Words of what was quoted, as tokens, so that a run without a model has a cost that compares. */
export function extractiveTokens(insights: readonly Insight[]): number {
  const words = insights.reduce((sum, { text }) => sum + text.split(/\s+/u).length, 0);
  return Math.ceil(words / 0.75);
}

interface Topic {
  term: string;
  /** Indexes of the memories that hold it. */
  members: number[];
}

interface Quote {
  index: number;
  text: string;
}

/** The term with the most importance behind it, rarer ones first among equals; terms of more than half of all memories say nothing. */
function bestTopic(
  holders: ReadonlyMap<string, number[]>,
  memories: readonly ReflectableMemory[],
  spent: ReadonlySet<number>,
): Topic | undefined {
  let best: { topic: Topic; score: number } | undefined;
  for (const [term, all] of holders) {
    const members = all.filter((i) => !spent.has(i));
    if (members.length < 2 || (memories.length > 4 && all.length > memories.length / 2)) continue;
    const weight = members.reduce((sum, i) => sum + memories[i]!.importance, 0);
    const score = weight * Math.log(1 + memories.length / all.length) * (members.length >= quotesPerInsight ? 1 : 0.5);
    if (best === undefined || score > best.score || (score === best.score && term < best.topic.term)) {
      best = { topic: { term, members }, score };
    }
  }
  return best?.topic;
}

/** From each of the most important memories of the topic the sentence that holds it, no sentence twice, in order of time. */
function quotesOf(topic: Topic, sentences: readonly Sentence[][], quoted: ReadonlySet<string>): Quote[] {
  const seen = new Set(quoted);
  const quotes: Quote[] = [];
  const byImportance = topic.members
    .map((index) => ({ index, sentence: sentences[index]!.find(({ terms }) => terms.has(topic.term))! }))
    .sort((a, b) => b.sentence.memory.importance - a.sentence.memory.importance || b.index - a.index);
  for (const { index, sentence } of byImportance) {
    const key = normalisedText(sentence.text);
    if (seen.has(key)) continue;
    seen.add(key);
    quotes.push({ index, text: sentence.text });
    if (quotes.length === quotesPerInsight) break;
  }
  return quotes.sort((a, b) => a.index - b.index);
}

/** Where nothing comes back: what weighed most, in its own words. */
function heaviest(memories: readonly ReflectableMemory[], sentences: readonly Sentence[][]): Insight[] {
  const seen = new Set<string>();
  const quotes: Quote[] = [];
  const byImportance = memories
    .map((memory, index) => ({ memory, index }))
    .sort((a, b) => b.memory.importance - a.memory.importance || b.index - a.index);
  for (const { index } of byImportance) {
    const text = sentences[index]![0]?.text ?? '';
    const key = normalisedText(text);
    if (key === '' || seen.has(key)) continue;
    seen.add(key);
    quotes.push({ index, text });
    if (quotes.length === quotesPerInsight) break;
  }
  quotes.sort((a, b) => a.index - b.index);
  return quotes.length === 0 ? [] : [insightOf('What weighed most', quotes, memories)];
}

function insightOf(frame: string, quotes: readonly Quote[], memories: readonly ReflectableMemory[]): Insight {
  const from = memories[quotes[0]!.index]!.occurredAt.slice(0, 10);
  const to = memories[quotes.at(-1)!.index]!.occurredAt.slice(0, 10);
  const when = from === to ? `on ${from}` : `from ${from} to ${to}`;
  const text = `${frame} ${when}: ${quotes.map((quote) => `“${clipped(quote.text)}”`).join(' ')}`;
  return { text, evidence: quotes.map((quote) => memories[quote.index]!.id) };
}

function sentencesOf(
  memory: ReflectableMemory,
  ownName: ReadonlySet<string>,
  surface: Map<string, string>,
): Sentence[] {
  const parts = cleanLine(memory.text).match(/[^.!?。！？]+[.!?。！？]*["”’)]*/gu) ?? [];
  return parts
    .map((part) => part.trim())
    .filter((text) => normalisedText(text) !== '')
    .map((text) => {
      const terms = new Set<string>();
      for (const [term, written] of termsOf(text)) {
        if (ownName.has(term)) continue;
        terms.add(term);
        if (!surface.has(term)) surface.set(term, written.slice(0, 40));
      }
      return { memory, text, terms };
    });
}

/** Cuts between words and shows that it cut. */
export function clipped(text: string): string {
  if (text.length <= quoteChars) return text;
  const cut = text.slice(0, quoteChars - 1);
  const space = cut.lastIndexOf(' ');
  return `${(space > quoteChars / 2 ? cut.slice(0, space) : cut).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
