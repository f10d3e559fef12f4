import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import { badInput } from './failures.ts';

export interface Output {
  /** Answers as one JSON document and nothing else. */
  json: boolean;
  /** Asks nothing. */
  yes: boolean;
}

export function line(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  line(JSON.stringify(value, null, process.stdout.isTTY ? 2 : 0));
}

export type Column<Row> = [title: string, cell: (row: Row) => string | number | null | undefined];

/** Columns as wide as they need; the last one is cut where the terminal ends. */
export function table<Row>(rows: readonly Row[], columns: ReadonlyArray<Column<Row>>): string {
  const cells = [
    columns.map(([title]) => title),
    ...rows.map((row) => columns.map(([, cell]) => plain(String(cell(row) ?? '-')))),
  ];
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const most = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .map((text, i) => {
      const cut = text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text;
      return i === 0 ? dim(cut) : cut;
    })
    .concat(rows.length === 0 ? [dim('none')] : [])
    .join('\n');
}

/** Text of agents may hold control characters and marks that turn or hide text; a terminal must not obey them. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]+/gu, ' ');
}

/** The same for text of several lines, which stay lines. */
export function plainLines(text: string): string {
  return text.split('\n').map(plain).join('\n');
}

export const dim = (text: string) => styleText('dim', text);
export const bold = (text: string) => styleText('bold', text);
export const good = (text: string) => styleText('green', text);
export const warn = (text: string) => styleText('yellow', text);
export const bad = (text: string) => styleText('red', text);

const stateStyles: Record<string, (text: string) => string> = {
  ready: good,
  done: good,
  applied: good,
  ok: good,
  lost: bad,
  failed: bad,
  failing: bad,
  suspect: warn,
  late: warn,
  parked: warn,
  draining: warn,
  canceled: warn,
};
export function styledState(state: string): string {
  return stateStyles[state.trimEnd()]?.(state) ?? state;
}

/** Asks on a terminal; elsewhere only --yes goes on. */
export async function confirm(question: string, { yes }: Output): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY) throw badInput(`${question} Nobody can answer here.`, 'Add --yes to go on without asking.');
  const reader = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = await reader.question(`${question} [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    reader.close();
  }
}

export function ago(iso: string | null): string {
  if (iso === null) return '-';
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  const [size, unit] = span(Math.abs(seconds));
  return seconds < 0 ? `in ${size} ${unit}` : `${size} ${unit} ago`;
}

function span(seconds: number): [number, string] {
  if (seconds < 60) return [Math.round(seconds), 's'];
  if (seconds < 3600) return [Math.round(seconds / 60), 'min'];
  if (seconds < 172_800) return [Math.round(seconds / 3600), 'h'];
  return [Math.round(seconds / 86_400), 'd'];
}
