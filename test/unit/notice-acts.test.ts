import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../cli/run.ts';
import { noticeRules } from '../../domain/notice-acts.ts';
import { endedByPerson, noticeKinds } from '../../domain/notices.ts';

const openApi = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<string, unknown>>;
};
const program = createProgram();

/** The command that the words name, and how many words are left for it. */
function named(words: string[]): { command: Command; left: string[] } {
  let command: Command = program;
  let at = 0;
  for (; at < words.length; at += 1) {
    const next = command.commands.find((below) => below.name() === words[at] || below.aliases().includes(words[at]!));
    if (next === undefined) break;
    command = next;
  }
  return { command, left: words.slice(at) };
}

function isRoute(method: string, path: string): boolean {
  const segments = path.split('?')[0]!.split('/');
  return Object.entries(openApi.paths).some(([route, methods]) => {
    const parts = route.split('/');
    return (
      method.toLowerCase() in methods &&
      parts.length === segments.length &&
      parts.every((part, i) => part === segments[i] || (part.startsWith('{') && segments[i] !== ''))
    );
  });
}

const notice = { id: 'ntc_1', key: 'delivery:dlv_1', subject: 'the-subject', about: 'the-rest' };

describe.each(noticeKinds)('%s', (kind) => {
  const rule = noticeRules[kind];

  test.each([notice, { ...notice, about: '' }, { ...notice, subject: 'mail' }])(
    'its act is one that there is',
    (of) => {
      const { command: text, call, say } = rule.act(of);
      const [first, ...words] = text.split(' ');
      expect(first).toBe('soulfra');
      const { command, left } = named(words);
      expect(command).not.toBe(program);
      const options = left.filter((word) => word.startsWith('--'));
      const values = left.length - options.length - options.filter((name) => takesValue(command, name)).length;
      const wanted = command.registeredArguments;
      expect(values, text).toBeGreaterThanOrEqual(wanted.filter(({ required }) => required).length);
      expect(values, text).toBeLessThanOrEqual(wanted.length);
      expect(isRoute(call.method, call.path), `${call.method} ${call.path}`).toBe(true);
      expect(say).toMatch(/[.;]$/);
      expect(rule.otherwise(of)).not.toBe('');
    },
  );

  test('only what a person can end is ended by hand', () => {
    const isDone = rule.act(notice).command === `soulfra inbox done ${notice.id}`;
    expect(isDone).toBe(endedByPerson.includes(kind));
  });
});

function takesValue(command: Command, name: string): boolean {
  const option = command.options.find(({ long }) => long === name);
  expect(option, `${command.name()} ${name}`).toBeDefined();
  return option!.required;
}
