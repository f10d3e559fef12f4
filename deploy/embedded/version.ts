import { readdirSync, readFileSync } from 'node:fs';
import { DomainError } from '../../domain/errors.ts';
import { type Home, readJson, writeJson } from './home.ts';

/** Who last wrote the data. */
export interface VersionStamp {
  app: string;
  /** Number of the newest migration. */
  schema: number;
  /** null: outside, by DATABASE_URL. */
  postgresMajor: number | null;
  /** Server version; null: outside, by TEMPORAL_ADDRESS. */
  temporal: string | null;
}

export function appStamp(root: string): Pick<VersionStamp, 'app' | 'schema'> {
  const app = (JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { version: string }).version;
  const numbers = readdirSync(`${root}/stores/migrations`).map((file) => Number.parseInt(file, 10));
  return { app, schema: Math.max(0, ...numbers.filter(Number.isInteger)) };
}

export function readStamp(home: Home): VersionStamp | undefined {
  return readJson<VersionStamp>(home.path('version.json'));
}

export function writeStamp(home: Home, stamp: VersionStamp): void {
  writeJson(home.path('version.json'), stamp);
}

/**
 * Compares part by part, as far as the parts are known yet.
 * @throws DATA_NEWER when any part that wrote the data is newer than the one at hand.
 */
export function refuseNewerData(data: VersionStamp | undefined, ours: Partial<VersionStamp>): void {
  if (data === undefined) return;
  const newer: string[] = [];
  if (ours.app !== undefined && compareVersions(data.app, ours.app) > 0)
    newer.push(`Soulfra ${data.app} (this is ${ours.app})`);
  if (ours.schema !== undefined && data.schema > ours.schema)
    newer.push(`schema ${data.schema} (this knows ${ours.schema})`);
  if (
    data.postgresMajor !== null &&
    typeof ours.postgresMajor === 'number' &&
    data.postgresMajor > ours.postgresMajor
  ) {
    newer.push(`Postgres ${data.postgresMajor} (here ${ours.postgresMajor})`);
  }
  if (
    data.temporal !== null &&
    typeof ours.temporal === 'string' &&
    compareVersions(data.temporal, ours.temporal) > 0
  ) {
    newer.push(`Temporal ${data.temporal} (here ${ours.temporal})`);
  }
  if (newer.length > 0) throw new DomainError('DATA_NEWER', `the data was written by ${newer.join(', ')}`);
}

/** Major, minor, patch by number; whatever follows is left out. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.replace(/^v/, '').split(/[.+-]/, 3).map(Number)) as [
    number[],
    number[],
  ];
  for (let i = 0; i < 3; i += 1) {
    const difference = (left[i] || 0) - (right[i] || 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
