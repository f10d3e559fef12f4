import { join } from 'node:path';
import { lineOf, type RepositoryTool, rowsOf, textOf } from './repository-tool.ts';

/** What rules of ours say already: root, versions, the shell before the process. */
const saidHere = ['DL3002', 'DL3006', 'DL3007', 'DL3025'];

export const hadolint: RepositoryTool = {
  name: 'hadolint',
  install: 'Install hadolint (https://github.com/hadolint/hadolint).',
  takes: /^(?!.*\.([cm]?[jt]sx?|py|rb|go)$)(.*\/)?((Docker|Container)file([.-][\w.-]+)?|[\w.-]+\.dockerfile)$/i,
  args: ({ paths, scratch }) => [
    '--config',
    join(scratch, 'hadolint.yaml'),
    '--disable-ignore-pragma',
    '--no-fail',
    '--format',
    'json',
    ...saidHere.flatMap((code) => ['--ignore', code]),
    '--',
    ...paths,
  ],
  codes: [0],
  parse: (stdout) =>
    rowsOf(stdout)
      .filter((row) => row['level'] === 'error' || row['level'] === 'warning')
      .map((row) => ({
        code: textOf(row['code'], 20),
        file: textOf(row['file'], 4_000),
        line: lineOf(row['line']),
        message: textOf(row['message']),
        severity: row['level'] === 'error' ? 'medium' : 'low',
      })),
};

/** Its own rules, each as grave as it says itself. */
export const hadolintConfig = '{}\n';
