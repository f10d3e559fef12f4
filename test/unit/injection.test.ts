import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { judgementKinds } from '../../domain/consistency.ts';
import { extractiveAnswer } from '../../domain/extractive-answer.ts';
import { extractInsights } from '../../domain/extractive.ts';
import type { ChatMessage } from '../../domain/prompts/chat.ts';
import { dropPrompt } from '../../domain/prompts/fit-drop.ts';
import { invitePrompt } from '../../domain/prompts/fit-invite.ts';
import { judgePrompt } from '../../domain/prompts/fit-judge.ts';
import { personaOutputSchema, personaPrompt } from '../../domain/prompts/fit-persona.ts';
import { questionsPrompt, reflectPrompt } from '../../domain/prompts/fit-reflect.ts';
import { talkPrompt } from '../../domain/prompts/fit-talk.ts';
import { votePrompt } from '../../domain/prompts/fit-vote.ts';
import { votingMethods } from '../../domain/ballots.ts';
import { inheritedPersona } from '../../domain/spawned-personas.ts';
import type { TextModel } from '../../integrations/inference/inference.ts';
import { tryStructured } from '../../integrations/inference/structured.ts';
import { injectionCases } from '../injection/cases.ts';
import { dangerous, invisible } from '../injection/marks.ts';

/**
 * Every case of test/injection/cases.ts in every place of every prompt that takes a text at once: each stays one record, which
 * reads back as it was, and nothing of it stands outside of the records. Large enough a context that nothing is left out.
 */
const contextTokens = 200_000;
const maxTokens = 512;

/** Lines that are ours, with what stands in JSON taken out, and the values of that JSON. */
function partsOf(messages: readonly ChatMessage[]): { frame: string; records: unknown[] } {
  const records: unknown[] = [];
  const frame = messages
    .flatMap(({ content }) => content.split('\n'))
    .map((line) => {
      // A record alone, or after our own words: `Character: {…}`, `The new character is called "…"; give …`.
      const found =
        /^(?<before>|Character: |The new character is called |You write a short public post in the voice of |The records were .* too: )(?<json>[{"].*)$/u.exec(
          line,
        );
      if (!found) return line;
      const { before, json } = found.groups as { before: string; json: string };
      const length = jsonLength(json);
      records.push(JSON.parse(json.slice(0, length)));
      return `${before}…${json.slice(length)}`;
    })
    .join('\n');
  return { frame, records };
}

/** Of the JSON value that a text begins with: up to the end of its string, or to the bracket that closes its first. */
function jsonLength(text: string): number {
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]/gu)) {
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
    if (depth === 0) return index + token.length;
  }
  throw new Error(`no JSON: ${text}`);
}

interface Built {
  messages: readonly ChatMessage[];
  /** Names of the tags that its user message has, in their order. */
  tags: string[];
  /** As they are to read back, first to last. */
  records: unknown[];
}

const plain = 'The ferry came late.';
const at = '2026-10-01';
const occurredAt = `${at}T08:00:00.000Z`;

/** A prompt that has `text` wherever it takes text of others, or plain words for comparison. */
const prompts: Record<string, (text: string) => Built> = {
  talk(text) {
    const agent = { name: text, persona: text, traits: [text, 'dry'] };
    const prompt = talkPrompt({
      agent,
      author: text,
      text,
      turns: [{ author: text, text, answer: text }],
      memories: [1, 2].map((n) => ({ id: `mem_${n}`, text, occurredAt })),
      contextTokens,
      maxTokens,
    })!;
    return {
      messages: prompt.messages,
      tags: ['memories', 'conversation', 'message'],
      records: [
        agent,
        { id: 'm1', at, text },
        { id: 'm2', at, text },
        { from: text, text },
        { from: 'you', text },
        { from: text, text },
      ],
    };
  },
  persona(text) {
    const parent = { name: text, persona: text, traits: [text, 'dry'] };
    const memories = [{ occurredAt, text }];
    return {
      messages: personaPrompt({ name: text, text, parent, memories, contextTokens }).messages,
      tags: ['parent', 'request', 'memories'],
      records: [text, parent, { text }, { at, text }],
    };
  },
  drop(text) {
    const agent = { name: text, persona: text, traits: [text] };
    const reflections = [text, plain].map((said) => ({ at: occurredAt, by: text, text: said }));
    return {
      messages: dropPrompt({ agent, reflections, contextTokens }).messages,
      tags: ['speaker', 'reflections'],
      records: [text, agent, { id: 'r1', at, by: text, text }, { id: 'r2', at, by: text, text: plain }],
    };
  },
  invite(text) {
    const agent = { name: text, persona: text, traits: [text] };
    const guild = { name: text, purpose: text, members: 3 };
    const { messages } = invitePrompt({ agent, guild, inviter: text, role: 'member', message: text, contextTokens })!;
    const record = { group: text, purpose: text, members: 3, invitedBy: text, as: 'member', message: text };
    return { messages, tags: ['invitation'], records: [agent, record] };
  },
  ...Object.fromEntries(
    judgementKinds.map((kind) => [
      `judge (${kind})`,
      (text: string): Built => {
        const agent = { name: text, persona: text, traits: [text] };
        const prompt = judgePrompt({ kind, agent, lines: [text, plain], contextTokens })!;
        const questions = prompt.asked.map((id) => ({ id, text: expect.any(String) as string }));
        return {
          messages: prompt.messages,
          tags: kind === 'answers' ? ['lines', 'questions'] : ['lines'],
          records: [agent, { id: 'l1', text }, { id: 'l2', text: plain }, ...(kind === 'answers' ? questions : [])],
        };
      },
    ]),
  ),
  ...Object.fromEntries(
    votingMethods.map((method) => [
      `vote (${method})`,
      (text: string): Built => {
        const agent = { name: text, persona: text, traits: [text] };
        const memories = [{ id: 'mem_1', text, occurredAt }];
        const remarks = [{ from: text, text }];
        const options = [text, plain];
        const { messages } = votePrompt({
          agent,
          title: text,
          text,
          method,
          options,
          remarks,
          memories,
          contextTokens,
        })!;
        return {
          messages,
          tags: ['proposal', 'remarks', 'memories'],
          records: [
            agent,
            { title: text, text },
            { option: 1, text },
            { option: 2, text: plain },
            { from: text, text },
            { id: 'm1', at, text },
          ],
        };
      },
    ]),
  ),
  questions(text) {
    const { agent, memories } = remembering(text);
    const { messages } = questionsPrompt({ agent, memories, contextTokens, maxTokens });
    return { messages, tags: ['memories'], records: [agent, ...shown(text)] };
  },
  reflect(text) {
    const { agent, memories } = remembering(text);
    const { messages } = reflectPrompt({ agent, memories, question: text, contextTokens, maxTokens });
    return { messages, tags: ['memories'], records: [agent, ...shown(text), { question: text }] };
  },
};

function remembering(text: string) {
  const memory = { text, occurredAt, importance: 5 };
  return {
    agent: { name: text, persona: text, traits: [text] },
    memories: [
      { ...memory, id: 'mem_1' },
      { ...memory, id: 'mem_2', isReflection: true },
    ],
  };
}
function shown(text: string) {
  return [
    { id: 'm1', at, importance: 5, text },
    { id: 'm2', at, kind: 'reflection', importance: 5, text },
  ];
}

describe.each(Object.entries(prompts))('the prompt of %s', (_, build) => {
  const ours = partsOf(build(plain).messages).frame;

  test('keeps every hostile text a record of its own, in whatever place it stands', () => {
    for (const { name, text } of injectionCases) {
      const { messages, tags, records } = build(text);
      expect(
        messages.map(({ role }) => role),
        name,
      ).toEqual(['system', 'user']);
      const user = messages[1]!.content;
      expect(user.match(/<[^>]*>/g), name).toEqual(tags.flatMap((tag) => [`<${tag}>`, `</${tag}>`]));
      for (const { content } of messages) expect(content, name).not.toMatch(dangerous);
      const parts = partsOf(messages);
      expect(parts.records, name).toEqual(records);
      // Our own words are the same, whoever speaks.
      expect(
        parts.frame.split('\n').filter((line) => line !== '…'),
        name,
      ).toEqual(ours.split('\n').filter((line) => line !== '…'));
    }
  });
});

test('what is written without a model quotes hostile texts without what cannot be seen', () => {
  const parent = { name: 'Ada Vesper', persona: plain, traits: ['dry', 'wry'], maskSeed: 7 };
  for (const { name, text } of injectionCases) {
    const memory = { id: 'mem_1', text, occurredAt, importance: 5 };
    const child = inheritedPersona({ seed: 'whi_1/1', name: 'Tal Vesper', text, parent });
    const insights = extractInsights([memory, { ...memory, id: 'mem_2' }], parent.name);
    const written = [
      extractiveAnswer({ text, memories: [memory] }).text,
      child.persona,
      ...child.traits,
      ...insights.map((insight) => insight.text),
    ];
    for (const line of written) expect(line, name).not.toMatch(/[\n\t]/);
    for (const line of written) expect(line, name).not.toMatch(invisible);
  }
});

test('what a model is told of its answer holds no words of it', async () => {
  for (const { name, text } of injectionCases) {
    const told: string[] = [];
    const model: TextModel = {
      generate({ messages }) {
        told.push(messages[1]!.content.slice('Write.'.length));
        const answer = { persona: plain.repeat(4), traits: ['dry'], [text]: text };
        return Promise.resolve({ text: JSON.stringify(answer), tokens: 1, finishReason: 'stop' });
      },
    };
    const messages: ChatMessage[] = [
      { role: 'system', content: 'Write a persona.' },
      { role: 'user', content: 'Write.' },
    ];
    const request = { model: 'm', messages, maxTokens, contextTokens };
    const watch = { signal: new AbortController().signal, onProgress: () => undefined };
    const { invalid } = await tryStructured(model, request, personaOutputSchema, watch);
    expect(told[1], name).toMatch(/An earlier answer was not accepted: .*fields that were not asked for/);
    for (const said of [told[1]!, invalid!]) expect(said.includes(text), name).toBe(false);
    expect(told[1], name).not.toMatch(dangerous);
  }
});

test('every prompt is built here', () => {
  const files = readdirSync(new URL('../../domain/prompts/', import.meta.url)).flatMap(
    (file) => /^(.+)-\d+\.ts$/.exec(file)?.[1] ?? [],
  );
  const built = Object.keys(prompts).map((name) => name.replace(/ .*/, ''));
  expect([...new Set(built)].sort()).toEqual([...new Set(files)].sort());
});
