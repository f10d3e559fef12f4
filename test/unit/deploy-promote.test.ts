import { stripVTControlCharacters } from 'node:util';
import { Command } from 'commander';
import { expect, test } from 'vitest';
import { deployCommands } from '../../cli/commands/deploy.ts';
import { type Promoted, promoteAndBackUp } from '../../cli/commands/deploy-promote.ts';

const done: Promoted = {
  folder: '/srv/kit',
  machine: 'mainpc',
  from: 'pc2',
  to: 'mainpc',
  loss: 'ALARM: the copy was asynchronous.',
  missingSince: '2026-11-23T03:02:11.000Z',
  url: 'https://10.8.0.2:17443',
};

async function told(promoted: Promoted, backup: Promise<unknown> = Promise.resolve()) {
  const said: string[] = [];
  const before: string[] = [];
  const json: object[] = [];
  const asked: string[][] = [];
  await promoteAndBackUp(['--out', '/srv/kit'], {
    promote: (args) => {
      asked.push(args);
      return Promise.resolve(promoted);
    },
    backUp: (args) => {
      asked.push(args);
      before.push(...said);
      return backup;
    },
    say: (text) => void said.push(stripVTControlCharacters(text)),
    sayJson: (value) => void json.push(value),
  });
  return { asked, before: before.join('\n'), after: said.slice(before.length).join('\n'), json };
}

test('a promotion tells what is lost, and what to do on other machines, before its first backup begins', async () => {
  const { asked, before, after, json } = await told(done);
  expect(before).toMatch(
    /! mainpc is the first one now: https[\s\S]*ALARM[\s\S]*on each other machine: soulfra deploy promote/,
  );
  expect(before).toContain('soulfra deploy backup --out /srv/kit --machine mainpc makes it later');
  expect(after).toBe('✔ mainpc has its first backup');
  expect(asked).toEqual([
    ['promote', '--out', '/srv/kit'],
    ['backup', '--out', '/srv/kit', '--machine', 'mainpc'],
  ]);
  expect(json).toEqual([{ ...done, unsaved: null }]);
});

test('a backup that fails is told, and the promotion holds', async () => {
  const { after, json } = await told({ ...done, missingSince: null }, Promise.reject(new Error('no room')));
  expect(after).toBe('! it has no backup yet: no room. soulfra deploy backup --out /srv/kit --machine mainpc');
  expect(json).toEqual([{ ...done, missingSince: null, unsaved: 'no room' }]);
});

test('a machine that follows makes none', async () => {
  const { asked, json } = await told({ ...done, machine: 'gpu3' });
  expect(asked).toHaveLength(1);
  expect(json).toEqual([{ ...done, machine: 'gpu3' }]);
});

test('what it names for later is a command that there is', () => {
  const program = new Command();
  deployCommands(program);
  const of = (command: Command, name: string) => command.commands.find((each) => each.name() === name)!;
  const taken = (name: string) => of(of(program, 'deploy'), name).options.map(({ long }) => long);
  for (const name of ['promote', 'backup', 'backups', 'restore'])
    expect(taken(name), name).toEqual(expect.arrayContaining(['--out', '--machine']));
});
