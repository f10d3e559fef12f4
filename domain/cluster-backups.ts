import { z } from 'zod';
import { DomainError } from './errors.ts';

/** Backups of a deployment's Postgres as a whole, by pgBackRest: files and every change since, so that any moment can be restored. */

/** What pgBackRest calls our cluster, in every repository. */
export const stanza = 'soulfra';

/** A segment of changes leaves for the archive after so long, however little is in it: what is lost with the disk at most, by rule. */
export const archiveEverySeconds = 60;

const seconds = z.number();
const backupSchema = z.object({
  label: z.string(),
  type: z.enum(['full', 'diff', 'incr']),
  error: z.boolean().nullish(),
  timestamp: z.object({ start: seconds, stop: seconds }),
  annotation: z.record(z.string(), z.string()).nullish(),
  // Names of the files of changes that it needs, and places in the log of changes.
  archive: z.object({ start: z.string().nullish() }).nullish(),
  lsn: z.object({ stop: z.string().nullish() }).nullish(),
  info: z.object({ size: z.number(), repository: z.object({ delta: z.number() }) }),
});
const stanzaSchema = z.object({
  name: z.string(),
  status: z.object({ code: z.int(), message: z.string() }),
  repo: z.array(z.object({ status: z.object({ code: z.int(), message: z.string() }) })).default([]),
  backup: z.array(backupSchema).default([]),
  archive: z.array(z.object({ id: z.string() })).default([]),
  // As text: a system identifier is larger than a number holds exactly.
  db: z.array(z.object({ 'system-id': z.string(), version: z.string() })).default([]),
});
export type ClusterBackup = z.infer<typeof backupSchema> & {
  /** When it was last read it was not whole, or what it builds on was not. */
  isDamaged?: boolean;
};

export interface Repository {
  /** Oldest first. */
  backups: ClusterBackup[];
  /** Folder of its changes; undefined: there are none yet. */
  archiveId: string | undefined;
  /** Undefined: it was never restored. */
  history: TimelineHistory | undefined;
  /** Of the cluster that it is of; undefined: there is no stanza. */
  clusterId: string | undefined;
  postgresMajor: number | undefined;
}

/** Codes of pgBackRest for a repository in which there is nothing yet. */
const nothingThere: readonly number[] = [1, 2, 3];

/**
 * Reads what `pgbackrest info --output=json` has written.
 * @throws BACKUP_KEY_WRONG, BACKUP_DAMAGED where the repository cannot be read
 */
export function readRepository(json: string): Repository {
  const all = z.array(stanzaSchema).parse(JSON.parse(json.replaceAll(/("system-id"\s*:\s*)(\d+)/g, '$1"$2"')));
  const found = all.find(({ name }) => name === stanza);
  const nothing = { archiveId: undefined, history: undefined, clusterId: undefined, postgresMajor: undefined };
  if (found === undefined) return { backups: [], ...nothing };
  const { code } = found.status;
  if (code !== 0 && !nothingThere.includes(code)) {
    const message = [found.status, ...found.repo.map(({ status }) => status)]
      .map((status) => status.message)
      .join('; ');
    const isKey = /crypt|cipher|passphrase/i.test(message);
    throw new DomainError(isKey ? 'BACKUP_KEY_WRONG' : 'BACKUP_DAMAGED', `the repository cannot be read: ${message}`);
  }
  const db = found.db.at(-1);
  return {
    // One with an error in its pages is shown, and never counted.
    backups: found.backup.toSorted((a, b) => a.timestamp.stop - b.timestamp.stop),
    archiveId: found.archive.at(-1)?.id,
    history: undefined,
    clusterId: db?.['system-id'],
    postgresMajor: db === undefined ? undefined : Number.parseInt(db.version, 10),
  };
}

/** Labels of the backups that `pgbackrest verify` has found not to be whole. Changes that are not are of none of them. */
export function damagedBackups(said: string): string[] {
  return [...said.matchAll(/^\s*backup: ([\w-]+), status: (?:invalid|manifest missing)/gm)].map(([, label]) => label!);
}

/** @param damaged labels; the label of what builds on a full one begins with that one's */
export function noteDamaged(backups: readonly ClusterBackup[], damaged: readonly string[]): ClusterBackup[] {
  return backups.map((backup) => {
    const isDamaged = damaged.some((label) => backup.label === label || backup.label.startsWith(`${label}_`));
    return isDamaged ? { ...backup, isDamaged } : backup;
  });
}

/** Each restore begins a new line of changes, which leaves those before it at some place; what came after that place is left behind. */
export interface TimelineHistory {
  timeline: number;
  /** Where the line of now left each that it comes from. */
  leftAt: ReadonlyMap<number, bigint>;
}

/** Of `00000003.history`, in words of Postgres: a line each with the number, the place and why, apart by tabs. */
export function readHistory(name: string, text: string): TimelineHistory {
  const lines = text.split('\n').filter((line) => /^\s*\d/.test(line));
  const leftAt = new Map(
    lines.map((line) => {
      const [timeline, at] = line.trim().split(/\s+/);
      return [Number(timeline), placeOf(at!)];
    }),
  );
  return { timeline: Number.parseInt(name, 16), leftAt };
}

/** `1/6B374D848` as a number. */
function placeOf(lsn: string): bigint {
  const [high, low] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** Of a file of changes. The data are made with no other. */
const changesFileBytes = 16n * 1024n ** 2n;
const filesOfALog = 0x1_0000_0000n / changesFileBytes;
const hex = (value: bigint | number) => value.toString(16).toUpperCase().padStart(8, '0');

/**
 * The first file of changes on the way from a backup to the latest moment that the archive lacks: recovery would take it for the end, and
 * not say so. What the newest line of changes has not handed on yet is no gap: nobody has it.
 * @param archived names of the files that there are
 */
export function firstGap(
  { archive, lsn }: ClusterBackup,
  history: TimelineHistory | undefined,
  archived: ReadonlySet<string>,
): string | undefined {
  if (!archive?.start || !lsn?.stop) return undefined;
  const begun = Number.parseInt(archive.start.slice(0, 8), 16);
  const newest = Math.max(begun, history?.timeline ?? begun);
  const named = (timeline: number, file: bigint) =>
    `${hex(timeline)}${hex(file / filesOfALog)}${hex(file % filesOfALog)}`;
  let file = placeOf(lsn.stop) / changesFileBytes;
  for (const [timeline, left] of [...(history?.leftAt ?? [])].toSorted(([a], [b]) => a - b)) {
    if (timeline < begun || timeline >= newest) continue;
    // The one in which it was left is the next line's first, with all of both.
    for (; file < left / changesFileBytes; file += 1n)
      if (!archived.has(named(timeline, file))) return named(timeline, file);
  }
  const last = [...archived].filter((name) => name.startsWith(hex(newest))).reduce((a, b) => (a > b ? a : b), '');
  for (; named(newest, file) < last; file += 1n) if (!archived.has(named(newest, file))) return named(newest, file);
  return undefined;
}

/** Whether the rows of a backup are of the line that goes on, and not of one that a restore has left behind. */
export function isLiving({ archive, lsn }: ClusterBackup, history: TimelineHistory | undefined): boolean {
  const first = archive?.start;
  const end = lsn?.stop;
  if (history === undefined || !first || !end) return true;
  const timeline = Number.parseInt(first.slice(0, 8), 16);
  if (timeline >= history.timeline) return true;
  const left = history.leftAt.get(timeline);
  return left !== undefined && placeOf(end) <= left;
}

/**
 * Differences to the last full one, until that is a week old, or as old as backups are kept: a moment of the oldest day that is kept
 * has a full one before it. Nothing is made on one that is not whole.
 */
export function nextBackupType(backups: readonly ClusterBackup[], keepDays: number, now: number): 'full' | 'diff' {
  // pgBackRest builds on the newest, whatever is wrong with it.
  const last = backups.findLast(({ type }) => type === 'full');
  if (last === undefined || last.error === true || last.isDamaged === true) return 'full';
  // A few hours less: the Schedule acts at a time of day, and the one of a week ago ended after it.
  const days = Math.min(7, keepDays) - 0.25;
  return now - last.timestamp.stop > days * 86_400 ? 'full' : 'diff';
}

/**
 * Whether what a repository has no more was let go by age, and not lost: backups that it does not list, and changes, and histories of
 * their lines, before the first one that the oldest of them needs. Where it lists none, nothing was.
 * @param path in the repository
 */
export function isLetGo(path: string, backups: readonly ClusterBackup[]): boolean {
  const [top, , name = '', ...rest] = path.split('/');
  if (backups.length === 0 || rest.length === 0) return false;
  if (top === 'backup') return /^\d{8}-\d{6}F/.test(name) && !backups.some(({ label }) => label === name);
  // A history has the number of its line of changes alone.
  const change = /^(?:[0-9A-F]{24}|[0-9A-F]{8}(?=\.history))/.exec(rest.at(-1)!)?.[0];
  const needed = backups.map(({ archive }) => archive?.start);
  // A backup that does not say what it needs may need all.
  return change !== undefined && needed.every((first) => !!first && change < first.slice(0, change.length));
}

/** What a backup says of who made it. Characters that its command line takes. */
export function annotationsOf(of: { id: string; origin: string; app: string; migration: string }): string[] {
  return Object.entries(of).map(([name, value]) => `--annotation=soulfra-${name}=${value}`);
}
export const saidBy = ({ annotation }: ClusterBackup, name: 'id' | 'origin' | 'app' | 'migration') =>
  annotation?.[`soulfra-${name}`];

export type RestoreTarget =
  | { is: 'latest' }
  /** ISO, in UTC. */
  | { is: 'time'; at: string }
  | { is: 'point'; name: string };

/** @throws INVALID_INPUT with what is wrong */
export function restoreTargetOf(text: string, now: number): RestoreTarget {
  if (text === 'latest') return { is: 'latest' };
  // A time without a zone is one of whoever reads it.
  const parsed = z.iso.datetime({ offset: true, local: false }).safeParse(text.trim().replace(/^(\S{10}) /, '$1T'));
  if (!parsed.success)
    throw new DomainError(
      'INVALID_INPUT',
      `--to ${text} is neither latest nor a time with its zone, such as 2026-11-23T01:30:00Z or 2026-11-23T02:30:00+01:00`,
    );
  const at = new Date(parsed.data);
  if (at.getTime() / 1000 > now)
    throw new DomainError('INVALID_INPUT', `--to ${text} is not over yet: name a time that was, or latest`);
  return { is: 'time', at: at.toISOString() };
}

/** As pgBackRest takes it. What came at that very moment is in it. */
export function targetArguments(target: RestoreTarget): string[] {
  if (target.is === 'latest') return ['--type=default'];
  const [type, value] =
    target.is === 'time' ? ['time', target.at.replace('T', ' ').replace('Z', '+00')] : ['name', target.name];
  return [`--type=${type}`, `--target=${value}`, '--target-action=promote'];
}

/**
 * Refuses what cannot become the cluster of this deployment, before anything is written.
 * @param here of the cluster that is there; undefined: there is none
 * @returns the backup that the restore begins with
 */
export function backupToRestore(
  { backups, history, clusterId, postgresMajor }: Repository,
  target: RestoreTarget,
  here: { clusterId: string | undefined; postgresMajor: number; isNewer: (app: string) => boolean },
): ClusterBackup {
  const whole = backups.filter((backup) => backup.error !== true && isLiving(backup, history));
  if (whole.length === 0 || clusterId === undefined)
    throw new DomainError('NOT_FOUND', 'the repository has no backup that is whole: soulfra deploy backups');
  if (here.clusterId !== undefined && here.clusterId !== clusterId)
    throw new DomainError(
      'CONFLICT',
      `the repository is of another cluster (${clusterId}) than the one that is here (${here.clusterId}): put the repository of this fleet there; where the cluster here is the wrong one, made anew after a loss, move its folder away first`,
    );
  if (postgresMajor !== here.postgresMajor)
    throw new DomainError(
      'CONFLICT',
      `the repository is of Postgres ${postgresMajor}, and this is ${here.postgresMajor}: files go to the same major alone`,
    );
  const lastOf = (some: readonly ClusterBackup[]) =>
    target.is === 'time'
      ? // Its end is told in whole seconds: the last of them counts as over.
        some.findLast(({ timestamp }) => timestamp.stop + 1 <= Date.parse(target.at) / 1000)
      : some.at(-1);
  // Where there is no other, one that was found damaged is tried: its files may have been brought back, and each is compared.
  const found = lastOf(whole.filter(({ isDamaged }) => isDamaged !== true)) ?? lastOf(whole);
  if (found === undefined) {
    const first = new Date(whole[0]!.timestamp.stop * 1000).toISOString();
    throw new DomainError(
      'NOT_FOUND',
      `every backup there is, is younger than that moment: the first ended at ${first}`,
    );
  }
  const app = saidBy(found, 'app');
  if (app !== undefined && here.isNewer(app))
    throw new DomainError(
      'DATA_NEWER',
      `backup ${found.label} was made by Soulfra ${app}: restore it with that version`,
    );
  return found;
}

/** A restored cluster may go on for the fleet that is asked for; what has no note of it is none of ours. */
export function refuseForeign(backup: ClusterBackup, origin: string): void {
  const of = saidBy(backup, 'origin');
  if (of !== undefined && of !== origin)
    throw new DomainError('CONFLICT', `backup ${backup.label} is of another fleet (${of})`);
}

/** Of the first bytes of `global/pg_control`. */
export function clusterIdOf(control: Uint8Array): string {
  return new DataView(control.buffer, control.byteOffset, 8).getBigUint64(0, true).toString();
}
