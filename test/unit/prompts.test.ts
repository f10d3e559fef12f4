import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { promptMessages, promptVersions } from '../../domain/prompts/versions.ts';

/**
 * What each version says, by its hash. A stored call is shown again by its version, so a text that is out never changes:
 * another wording is a new file and a new version beside the old one, and the old hash stays here.
 */
const texts: Record<string, string> = {
  'questions/1': '25c9f742de45efb0',
  'reflect/2': 'd9c9c5be0e811648',
};

const agent = { name: 'Vesper', persona: 'Keeps the lamps of a harbour.', traits: ['patient', 'dry'] };
const memories = [
  { id: 'a', text: 'The ferry <came> late.', occurredAt: '2026-10-01T08:00:00.000Z', importance: 4 },
  { id: 'b', text: 'Ferries mean winter.', occurredAt: '2026-10-02T08:00:00.000Z', importance: 6, isReflection: true },
];

test.each(promptVersions)('%s says what it always said', (version) => {
  const said = [
    promptMessages(version, { agent, question: null, memories, unshown: 0 }),
    promptMessages(version, { agent, question: 'Who waits for the ferry?', memories, unshown: 3 }),
    promptMessages(version, { agent, question: null, memories, unshown: 0 }, 'it is not one JSON object'),
  ];
  expect(createHash('sha256').update(JSON.stringify(said)).digest('hex').slice(0, 16)).toBe(texts[version]);
});
