import { join } from 'node:path';
import { lineOf, type RepositoryTool, rowsOf, textOf } from './repository-tool.ts';

/**
 * Secrets that have a form we do not know. Of a finding only rule and place are taken; that its secrets are struck out as well keeps them out
 * of our memory. A `.gitleaks.toml` of the repository is not read: what is known there is accepted here, by name and until a day.
 */
export const gitleaks: RepositoryTool = {
  name: 'gitleaks',
  install: 'Install gitleaks 8.19 or later (https://github.com/gitleaks/gitleaks).',
  takes: /./,
  args: ({ folder, scratch }) => [
    'dir',
    folder,
    '--config',
    join(scratch, 'gitleaks.toml'),
    '--gitleaks-ignore-path',
    scratch,
    // What stands in a comment of the repository is nobody's acceptance, either.
    '--ignore-gitleaks-allow',
    '--report-format',
    'json',
    '--report-path',
    '-',
    '--redact',
    '--no-banner',
    '--no-color',
    '--log-level',
    'error',
    '--exit-code',
    '0',
  ],
  codes: [0],
  parse: (stdout) =>
    rowsOf(stdout).map((row) => ({
      code: textOf(row['RuleID'], 100),
      file: textOf(row['File'], 4_000),
      line: lineOf(row['StartLine']),
      message: 'what looks like a secret; its value is not shown',
    })),
};

/** Its own rules, and no others. */
export const gitleaksConfig = '[extend]\nuseDefault = true\n';
