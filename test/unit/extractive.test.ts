import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanLine } from '../../domain/clean-text.ts';
import { extractInsights } from '../../domain/extractive.ts';
import { insightLimits, type ReflectableMemory } from '../../domain/reflections.ts';
import { createExtractiveReflector } from '../../integrations/inference/extractive.ts';
import { makeMemories, watchOf } from '../model-server/cases.ts';

/** What stands between quotation marks after the frame. */
function quotesIn(text: string): string[] {
  return [...text.slice(text.indexOf(': ') + 2).matchAll(/“(.*?)”(?= “|$)/gs)].map((match) => match[1] ?? '');
}

/** Whether a text is a quote of each of these in turn, however many quotation marks stand inside them. */
function areQuotesOf(text: string, [first, ...rest]: readonly string[]): boolean {
  if (first === undefined) return text === '';
  if (!text.startsWith('“')) return false;
  for (let end = text.indexOf('”', 1); end > 0; end = text.indexOf('”', end + 1)) {
    const quote = text.slice(1, end);
    const held = first.includes(quote) || (quote.endsWith('…') && first.includes(quote.slice(0, -1)));
    if (held && areQuotesOf(text.slice(end + 1).replace(/^ /, ''), rest)) return true;
  }
  return false;
}

function memoriesOf(...texts: string[]): ReflectableMemory[] {
  return texts.map((text, i) => ({
    id: `mem_${i}`,
    text,
    occurredAt: new Date(Date.UTC(2026, 9, 1 + i)).toISOString(),
    importance: 5,
  }));
}

describe('extractInsights', () => {
  test('finds what comes back and quotes the memories it names, word for word', () => {
    const memories = makeMemories(6);
    const insights = extractInsights(memories, 'Vesper');
    expect(insights.length).toBeGreaterThanOrEqual(2);
    for (const { text, evidence } of insights) {
      const quotes = quotesIn(text);
      expect(quotes.length).toBe(evidence.length);
      quotes.forEach((quote, i) => {
        expect(memories.find(({ id }) => id === evidence[i])?.text).toContain(quote.replace(/…$/, ''));
      });
    }
  });

  test('rests on two or three memories where they share a subject, and no memory is used twice', () => {
    const evidence = extractInsights(makeMemories(6), 'Vesper').map((insight) => insight.evidence);
    for (const ids of evidence) expect([2, 3]).toContain(ids.length);
    expect(new Set(evidence.flat()).size).toBe(evidence.flat().length);
  });

  test('says the same for the same memories in any order', () => {
    const memories = makeMemories(6);
    expect(extractInsights([...memories].reverse(), 'Vesper')).toEqual(extractInsights(memories, 'Vesper'));
  });

  test("the agent's own name is no subject", () => {
    const memories = memoriesOf('Vesper saw rain.', 'Vesper ate bread.', 'Vesper wrote home.');
    expect(extractInsights(memories, 'Vesper')[0]?.text).toMatch(/^What weighed most/);
  });

  test('one sentence told three times is no subject that comes back', () => {
    const [insight, ...rest] = extractInsights(memoriesOf('Ferry late.', 'Ferry late.', 'Ferry late.'), 'Vesper');
    expect(rest).toEqual([]);
    expect(insight?.evidence).toHaveLength(1);
  });

  test('cuts a long sentence between words and shows it', () => {
    const long = `The harbour ${'grew very quiet and '.repeat(20)}slept`;
    const insights = extractInsights(memoriesOf(long, 'The harbour woke at dawn.'), 'Vesper');
    expect(insights[0]?.text).toMatch(/(grew|very|quiet|and)…”/);
  });

  test('quotes scripts other than Latin', () => {
    const insights = extractInsights(memoriesOf('Паром опоздал.', 'Паром пришёл утром.', 'Тихо.'), 'Веспер');
    expect(insights[0]?.text).toContain('Паром');
    expect(insights[0]?.evidence).toEqual(['mem_0', 'mem_1']);
  });

  test('makes nothing of nothing', () => {
    expect(extractInsights([], 'Vesper')).toEqual([]);
    expect(extractInsights(memoriesOf('…', '!!'), 'Vesper')).toEqual([]);
  });

  test('for any memories: what stands in quotation marks stands so in the memory named for it, and nothing else is said', () => {
    const text = fc.oneof(
      fc.string(),
      fc.lorem({ maxCount: 40 }),
      fc.string({ unit: fc.constantFrom('“', '”', '…', ' ', 'harbour', 'lamp', '.', 'a', '🙂', '\ud800') }),
    );
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), (texts) => {
        const memories = memoriesOf(...texts);
        const told = new Map(memories.map(({ id, text: whole }) => [id, cleanLine(whole)]));
        for (const insight of extractInsights(memories, 'Vesper')) {
          const framed =
            /^(?:“(?<word>[^”]*)” comes back|What weighed most) (?:on [\d-]{10}|from [\d-]{10} to [\d-]{10}): /u.exec(
              insight.text,
            );
          expect(framed).not.toBeNull();
          const word = framed!.groups!['word'];
          if (word !== undefined) expect([...told.values()].some((each) => each.includes(word))).toBe(true);
          const quotes = insight.text.slice(framed![0].length);
          expect(
            areQuotesOf(
              quotes,
              insight.evidence.map((id) => told.get(id)!),
            ),
          ).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('for any memories: within the limits, evidence among them, at least one insight where there are words', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.lorem({ maxCount: 30 }));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 30 }), (texts) => {
        const memories = memoriesOf(...texts);
        const insights = extractInsights(memories, 'Vesper');
        const known = new Set(memories.map(({ id }) => id));
        if (texts.some((each) => /[a-z]{4}/.test(each))) expect(insights.length).toBeGreaterThan(0);
        for (const insight of insights) {
          expect(insight.text.length).toBeLessThanOrEqual(insightLimits.textChars);
          expect(insight.evidence.length).toBeGreaterThan(0);
          expect(insight.evidence.every((id) => known.has(id))).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});

test('the reflector labels itself, uses every memory and counts the words it quoted', async () => {
  const memories = makeMemories(40);
  const reflector = createExtractiveReflector();
  const agent = { name: 'Vesper', persona: 'p', traits: ['t'] };
  const request = { agent, memories, model: 'any', contextTokens: 512, maxTokens: 64 };
  const outcome = await reflector.reflect(request, watchOf([]));
  expect(outcome).toMatchObject({
    source: 'extractive',
    promptVersion: 'extractive/1',
    left: [],
    repair: null,
    modelCalls: 0,
  });
  expect(outcome.used).toHaveLength(40);
  expect(outcome.tokens).toBeGreaterThan(20);
  expect(outcome.refused).toEqual([]);
});
