import fc from 'fast-check';
import { expect, test } from 'vitest';
import { agentId, bornAgentId, ordinalOf, slugSchema } from '../../domain/ids.ts';

test('reads like the name', () => {
  expect(bornAgentId('Maren of Vesper')).toBe('maren-of-vesper');
  expect(bornAgentId('Zoë  d’Île')).toBe('zoe-d-ile');
  expect(bornAgentId('Klaus 3')).toBe('klaus-3th');
  expect(bornAgentId('42')).toBeUndefined();
  expect(bornAgentId('漢字')).toBeUndefined();
});

test('is a slug that no archetype can make', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[a-z]{1,50}-\d{1,6}$/)),
      (name) => {
        const id = bornAgentId(name);
        if (id === undefined) return;
        expect(slugSchema.safeParse(id).success).toBe(true);
        expect(ordinalOf(id.replace(/-\d+$/, ''), id)).toBeUndefined();
      },
    ),
  );
  expect(ordinalOf('vesper', agentId('vesper', 14))).toBe(14);
});
