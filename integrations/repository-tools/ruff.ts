import { lineOf, type RepositoryTool, rowsOf, textOf } from './repository-tool.ts';

/** Errors and likely faults; how code looks is nobody's way to production. */
const rules = ['E9', 'F', 'B', 'PLE'];

export const ruff: RepositoryTool = {
  name: 'ruff',
  install: 'Install ruff: `pipx install ruff`.',
  takes: /\.py$/,
  args: ({ paths }) => [
    'check',
    '--isolated',
    '--no-cache',
    '--no-fix',
    '--ignore-noqa',
    '--exit-zero',
    '--quiet',
    '--output-format',
    'json',
    '--select',
    rules.join(','),
    '--',
    ...paths,
  ],
  codes: [0],
  parse: (stdout) =>
    rowsOf(stdout).map((row) => ({
      code: textOf(row['code'], 20) || 'syntax',
      file: textOf(row['filename'], 4_000),
      line: lineOf((row['location'] as { row?: unknown } | null)?.row),
      message: textOf(row['message']),
    })),
};
