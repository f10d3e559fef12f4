import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const banned = ['daemon', 'engine', 'manager', 'system', 'util', 'utils', 'helper', 'helpers', 'licence'];

/** Words that are another's: the role in a prompt, a field of a character card, a call or a namespace of Temporal's, a statement of Postgres's, CPU time of Node's. */
const foreign: Record<string, string[]> = {
  'observability/tracing.ts': ['manager'],
  'domain/prompts/questions-1.ts': ['system'],
  'domain/prompts/reflect-2.ts': ['system'],
  'api/health.ts': ['system'],
  'bench/heartbeats.ts': ['system'],
  'deploy/compose/promote.ts': ['system'],
  'deploy/compose/server-files.ts': ['system'],
  'deploy/compose/standby.ts': ['system'],
  'doctor/servers.ts': ['system'],
  'domain/openai-requests.ts': ['system'],
  'integrations/inference/chat.ts': ['system'],
  'integrations/inference/ollama-chat.ts': ['system'],
  'integrations/importers/character-card.ts': ['system'],
  'integrations/importers/eliza.ts': ['system'],
  'integrations/importers/persona-writers.ts': ['system'],
  'test/integration/cli.test.ts': ['system'],
  'test/integration/persona-import.test.ts': ['system'],
  'test/integration/standby-commits.test.ts': ['system'],
  'test/support/planted-faults.ts': ['system'],
  'test/unit/persona-files.test.ts': ['system'],
  'test/unit/promote.test.ts': ['system'],
  'test/unit/world.test.ts': ['system'],
};

/** Tracked and new files, as git sees them. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => /\.(ts|js|sql)$/.test(file) && !file.includes('.generated.'));

/** `FleetManager` → fleet, manager. */
function words(text: string): string[] {
  return text
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
}

/** Names only: what stands in comments and strings may have to say what others call a thing. */
function code(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$|(^|\s)--.*$/gm, ' ')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, ' ');
}

test('no file has a banned word in its name', () => {
  expect(files.filter((file) => words(file).some((word) => banned.includes(word)))).toEqual([]);
});

test('no name in the code has a banned word', () => {
  const found = files.flatMap((file) => {
    // Deleted in the work tree and not yet in the index.
    const text = readIfThere(root + file);
    return [
      ...new Set(words(code(text)).filter((word) => banned.includes(word) && !foreign[file]?.includes(word))),
    ].map((word) => `${file}: ${word}`);
  });
  expect(found).toEqual([]);
});

test('files are named in kebab-case', () => {
  const outside = /(^|\/)(docs|node_modules)\//;
  const names = files.filter((file) => !outside.test(file)).map((file) => file.split('/').at(-1)!);
  expect(names.filter((name) => !/^[a-z0-9_]+(?:[-.][a-z0-9_]+)*$/.test(name))).toEqual([]);
});

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err;
    return '';
  }
}
