import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { judgementKinds } from '../../domain/consistency.ts';
import { invite1 } from '../../domain/prompts/invite-1.ts';
import { drop1 } from '../../domain/prompts/drop-1.ts';
import { judge1 } from '../../domain/prompts/judge-1.ts';
import { persona1 } from '../../domain/prompts/persona-1.ts';
import { persona2 } from '../../domain/prompts/persona-2.ts';
import { talk1 } from '../../domain/prompts/talk-1.ts';
import { talk2 } from '../../domain/prompts/talk-2.ts';
import { vote1 } from '../../domain/prompts/vote-1.ts';
import { votingMethods } from '../../domain/ballots.ts';
import { personaPrompt } from '../../domain/prompts/fit-persona.ts';
import { talkPrompt } from '../../domain/prompts/fit-talk.ts';
import { votePrompt } from '../../domain/prompts/fit-vote.ts';
import {
  questionsVersion,
  type ReflectPromptVersion,
  reflectPromptMessages,
  reflectVersion,
  repaired,
} from '../../domain/prompts/versions.ts';

const agent = { name: 'Vesper', persona: 'Keeps the lamps of a harbour.', traits: ['patient', 'dry'] };
const memories = [
  { id: 'a', text: 'The ferry <came> late.', occurredAt: '2026-10-01T08:00:00.000Z', importance: 4 },
  { id: 'b', text: 'Ferries mean winter.', occurredAt: '2026-10-02T08:00:00.000Z', importance: 6, isReflection: true },
];
const ended = memories.map((memory, i) => (i === 0 ? { ...memory, until: '2026-10-05T06:00:00.000Z' } : memory));
const problem = 'it is not one JSON object';
const lines = memories.map(({ id, text }) => ({ id, text }));
const questions = [{ id: 'q1', text: 'Is this so? Keeps the lamps of a harbour.' }];
const talk = { agent, author: 'Ada', text: 'Who waits for the ferry?' };
const turns = [{ author: 'Ada', text: 'Good evening.', answer: 'Good evening, <Ada>.' }];
const spawn = { name: 'Tal Vesper', text: 'Someone should <count> the boats.', parent: agent };

const ballot = { agent, title: 'A second <ferry>', text: 'The first is full.', options: ['Yes', 'No'] };
const remarks = [{ from: 'ben-001', text: 'A bridge needs no captain.' }];

function reflecting(version: ReflectPromptVersion, shown: typeof memories = memories) {
  return [
    reflectPromptMessages(version, { agent, question: null, memories: shown, unshown: 0 }),
    reflectPromptMessages(version, { agent, question: 'Who waits for the ferry?', memories: shown, unshown: 3 }),
    reflectPromptMessages(version, { agent, question: null, memories: shown, unshown: 0 }, problem),
  ];
}

/**
 * What each version says, by its hash. A stored call is shown again by its version, and an answer or persona names the one that
 * asked for it, so words that are out never change: other words are a new file and a new version beside the old one, and the
 * old hash stays here.
 */
const versions: Record<string, { hash: string; said: unknown }> = {
  'drop/1': {
    hash: '49c8949fe927232c',
    said: [
      drop1({ agent, reflections: lines.map(({ text }) => ({ at: '2026-10-02T08:00:00.000Z', by: 'Vesper', text })) }),
      repaired(drop1({ agent, reflections: [] }), problem),
    ],
  },
  'invite/1': {
    hash: 'f962df1a6c9ccefd',
    said: [
      invite1({
        agent,
        guild: { name: 'The Watch', purpose: 'Keeps <lamps>.', members: 3 },
        inviter: 'Ada',
        role: 'guest',
        message: '',
      }),
      repaired(
        invite1({
          agent,
          guild: { name: 'The Watch', purpose: '', members: 1 },
          inviter: 'Ada',
          role: 'member',
          message: 'Come.',
        }),
        problem,
      ),
    ],
  },
  'judge/1': {
    hash: '65b119cc4573076c',
    said: judgementKinds.map((kind) => judge1({ kind, agent, lines, questions })),
  },
  'persona/1': {
    hash: '1d6a06d0172f6c50',
    said: [
      persona1({ ...spawn, memories }),
      persona1({ ...spawn, memories: [] }),
      repaired(persona1({ ...spawn, memories }), problem),
    ],
  },
  'persona/2': {
    hash: '05063c70910a10ae',
    said: [
      persona2({ ...spawn, memories: ended }),
      persona2({ ...spawn, memories: [] }),
      repaired(persona2({ ...spawn, memories }), problem),
    ],
  },
  'questions/1': { hash: '25c9f742de45efb0', said: reflecting('questions/1') },
  'questions/2': { hash: 'df850788e464f258', said: reflecting('questions/2', ended) },
  'reflect/2': { hash: 'd9c9c5be0e811648', said: reflecting('reflect/2') },
  'reflect/3': { hash: '93a1b2bffda98f63', said: reflecting('reflect/3', ended) },
  'talk/1': {
    hash: '2cd1fe43a484aca0',
    said: [talk1({ ...talk, turns, memories }), talk1({ ...talk, turns: [], memories: [] })],
  },
  'talk/2': {
    hash: 'c8c8ade5219bf5e7',
    said: [talk2({ ...talk, turns, memories: ended }), talk2({ ...talk, turns: [], memories: [] })],
  },
  'vote/1': {
    hash: 'e9ce33f072811727',
    said: votingMethods.map((method, i) =>
      vote1({ ...ballot, method, remarks: i === 0 ? [] : remarks, memories: ended }),
    ),
  },
};

test('where a memory has ended, every prompt that shows memories says so; one that holds has no end', () => {
  const prompts = [
    reflectPromptMessages(questionsVersion, { agent, question: null, memories: ended, unshown: 0 }),
    reflectPromptMessages(reflectVersion, { agent, question: null, memories: ended, unshown: 0 }),
    talkPrompt({ ...talk, turns: [], memories: ended, contextTokens: 4_096, maxTokens: 512 })!.messages,
    personaPrompt({ ...spawn, memories: ended, contextTokens: 4_096 }).messages,
    votePrompt({ ...ballot, method: 'single', remarks, memories: ended, contextTokens: 4_096 })!.messages,
  ];
  for (const [frame, user] of prompts) {
    expect(frame!.content).toMatch(/"until" tells held\suntil that day and no longer holds/);
    const lines = user!.content.split('\n').filter((line) => line.startsWith('{') && line.includes('"at"'));
    expect(lines.map((line) => (JSON.parse(line) as { until?: string }).until)).toEqual(['2026-10-05', undefined]);
  }
});

test.each(Object.entries(versions))('%s says what it always said', (_, { hash, said }) => {
  expect(createHash('sha256').update(JSON.stringify(said)).digest('hex').slice(0, 16)).toBe(hash);
});

test('every file of words is held here', () => {
  const files = readdirSync(new URL('../../domain/prompts/', import.meta.url));
  const words = files.flatMap((file) => {
    const [, name, version] = /^(.+)-(\d+)\.ts$/.exec(file) ?? [];
    return name === undefined ? [] : [`${name}/${version}`];
  });
  expect(words.sort()).toEqual(Object.keys(versions));
});
