import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../cli/run.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';

const folder = join(repositoryRoot, 'deploy/runbooks');
const names = readdirSync(folder).filter((name) => /^\d/.test(name));
const program = createProgram();

/** Every `soulfra …` of a page: a line of a block, or in backticks. */
function commandsOf(text: string): string[] {
  const lines = [...text.matchAll(/^ *(?:\$ )?(soulfra .+)$/gm)].map(([, command]) => command!);
  const inline = [...text.matchAll(/`(soulfra [^`\n]+)`/g)].map(([, command]) => command!);
  return [...lines, ...inline];
}

/** The command that the words name, and which of its words are none of it. */
function lackingOf(text: string): string[] {
  const words = text.split(/\s+/).slice(1);
  let command: Command = program;
  while (words.length > 0) {
    const next = command.commands.find((below) => below.name() === words[0]);
    if (next === undefined) break;
    command = next;
    words.shift();
  }
  if (command === program) return [text];
  const known = new Set([...program.options, ...command.options].flatMap(({ long, short }) => [long, short]));
  return words.filter((word) => word.startsWith('-') && !known.has(word)).map((word) => `${text}: ${word}`);
}

test('the pages are numbered without a gap, and the first page lists each', () => {
  expect(names.map((name) => Number(name.slice(0, 2)))).toEqual(names.map((_, i) => i + 1));
  const index = readFileSync(join(folder, 'README.md'), 'utf8');
  expect(names.filter((name) => !index.includes(`(${name})`))).toEqual([]);
});

describe.each([...names.map((name) => `deploy/runbooks/${name}`), 'docs/runbooks.md'])('%s', (path) => {
  const text = readFileSync(join(repositoryRoot, path), 'utf8');

  test('names commands and options that there are', () => {
    const commands = commandsOf(text);
    expect(commands.length).toBeGreaterThan(0);
    expect(commands.flatMap(lackingOf)).toEqual([]);
  });

  test('leads to pages that there are', () => {
    const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, link]) => link!);
    const from = dirname(join(repositoryRoot, path));
    expect(links.filter((link) => !existsSync(join(from, link)))).toEqual([]);
  });
});

test.each(names)('%s says whether it was run', (name) => {
  const [, , said] = readFileSync(join(folder, name), 'utf8').split('\n');
  expect(said).toMatch(/^(Run here: |Not run here yet: ).{10,}/);
});

test('each alert that Prometheus is given names its section, which has numbered steps', () => {
  const sections = new Map(
    readFileSync(join(repositoryRoot, 'docs/runbooks.md'), 'utf8')
      .split(/^## /m)
      .slice(1)
      .map((section) => [section.split('\n')[0]!.toLowerCase().replaceAll(' ', '-'), section]),
  );
  const rules = join(repositoryRoot, 'deploy/prometheus/rules');
  const alerts = readdirSync(rules).flatMap((file) =>
    readFileSync(join(rules, file), 'utf8')
      .split(/^ *- alert: /m)
      .slice(1)
      .map((text) => ({ name: text.split('\n')[0]!, page: /^ *runbook: docs\/runbooks\.md#(\S+)$/m.exec(text)?.[1] })),
  );
  expect(alerts.length).toBeGreaterThan(40);
  const lacking = alerts.filter(({ page }) => !/^1\. /m.test(sections.get(page ?? '') ?? ''));
  expect(lacking).toEqual([]);
});
