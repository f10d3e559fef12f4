import type { ToolReport } from '../../domain/readiness-inventory.ts';

/** A program that others keep, and that looks further than we do. */
export interface RepositoryTool {
  name: string;
  install: string;
  /** Files that it is for. */
  takes: RegExp;
  /** Words after its name. It is run in an empty folder, so that it finds no configuration but the one it is given. */
  args: (place: ToolPlace) => string[];
  /** Codes with which it has done its work. */
  codes: readonly number[];
  /** In what it says beside its answer: it broke off, whatever its code. */
  broke?: RegExp;
  /** What it printed, as findings; files are named as they were given. @throws Error where that is not what it prints */
  parse: (stdout: string) => ToolReport['findings'];
}

export interface ToolPlace {
  /** Holds the files and nothing else. */
  folder: string;
  /** In full, those that it takes. */
  paths: readonly string[];
  /** Where its configuration lies, which is ours. */
  scratch: string;
}

/** The parts of an answer that are texts and numbers, whatever else a version prints. */
export function textOf(value: unknown, most = 300): string {
  return typeof value === 'string' ? value.replaceAll(/\s+/g, ' ').slice(0, most) : '';
}

export function lineOf(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : 1;
}

/** @throws Error where it is no list of objects */
export function rowsOf(stdout: string): Array<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(stdout.trim() === '' ? '[]' : stdout);
  const rows = parsed ?? [];
  if (!Array.isArray(rows) || rows.some((row) => typeof row !== 'object' || row === null))
    throw new Error('its answer is no list of findings');
  return rows as Array<Record<string, unknown>>;
}
