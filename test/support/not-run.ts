import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** A test that this machine cannot run, what it needs, and the one command that brings it. */
export interface NotRun {
  test: string;
  needs: string;
  command: string;
  /** Needs what a host that tests need not have (private data, Docker with images, networks of its own): no reason to fail where CI is set. */
  excused?: boolean;
}

const variable = 'SOULFRA_NOT_RUN_FILE';

/** For `test.skipIf(lacks(…, has))`: notes the row for the table at the end of `npm test`. */
export function lacks(row: NotRun, has: boolean): boolean {
  const file = process.env[variable];
  if (!has && file !== undefined) appendFileSync(file, `${JSON.stringify(row)}\n`);
  return !has;
}

export function notRunVariable(file: string): Record<string, string> {
  return { [variable]: file };
}

export function readNotRun(file: string): NotRun[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return [...new Set(lines.filter((line) => line !== ''))].map((line) => JSON.parse(line) as NotRun);
}

export function notRunTable(rows: readonly NotRun[]): string {
  const table = [['not run', 'needs', 'command'], ...rows.map((row) => [row.test, row.needs, row.command])];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join(' | ')
        .trimEnd(),
    )
    .join('\n');
}
