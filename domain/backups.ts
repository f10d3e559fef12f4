import { z } from 'zod';

/** Of the archive's form: a reader refuses a higher one. */
export const backupFormat = 1;

/** `20261122T013000Z`: the moment it was begun, which orders backups also as text. */
export const backupIdSchema = z
  .string()
  .regex(/^\d{8}T\d{6}Z$/, 'must be the time of a backup, such as 20261122T013000Z');

/** @param at ISO time */
export function backupIdOf(at: string): string {
  return `${at.slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

/** A fleet as names of files have it, so that several may share a folder: the end of its origin's id, which is random. */
export const tagOf = (origin: string) =>
  origin
    .replaceAll(/[^a-zA-Z0-9]/g, '')
    .slice(-12)
    .toLowerCase();

export interface BackupName {
  id: string;
  /** Of its fleet. */
  tag: string;
}
export const nameOf = ({ id, origin }: { id: string; origin: string }): BackupName => ({ id, tag: tagOf(origin) });
export const archiveName = ({ id, tag }: BackupName) => `soulfra-${tag}-${id}.tar.gz.age`;
export const manifestName = ({ id, tag }: BackupName) => `soulfra-${tag}-${id}.json`;

/** What a file in a folder of backups is; undefined: none of ours. `part`: it was not finished. */
export function readName(file: string): (BackupName & { is: 'archive' | 'record' | 'part' }) | undefined {
  const found = /^soulfra-([a-z0-9]{1,12})-(\d{8}T\d{6}Z)\.(?:(json)|(tar\.gz\.age)(\..*\.part|\.part)?)$/.exec(file);
  if (!found) return undefined;
  const [, tag, id, isRecord, , part] = found;
  return { id: id!, tag: tag!, is: isRecord !== undefined ? 'record' : part === undefined ? 'archive' : 'part' };
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

/** What is known of a backup before its data is read: enough to say whether it can be restored here. */
export const backupHeadSchema = z.object({
  format: z.int().min(1),
  id: backupIdSchema,
  /** The moment that all of it is of. */
  madeAt: z.iso.datetime(),
  /** Whose it is: the first user there ever was. Several fleets may share a folder. */
  origin: z.string(),
  app: z.string(),
  /** Names of the migrations that the database had, the last one last. */
  migrations: z.array(z.string()).min(1),
  postgresMajor: z.int(),
  temporal: z.string(),
});
export type BackupHead = z.infer<typeof backupHeadSchema>;

export const ledgerFiguresSchema = z.object({
  transfers: count,
  entries: count,
  /** By currency; a ledger that adds up has zeros alone. */
  sums: z.record(z.string(), z.string()),
  /** Over every transfer with its entries, in order. */
  hash: sha256,
});
export type LedgerFigures = z.infer<typeof ledgerFiguresSchema>;

export const tableFiguresSchema = z.object({
  rows: count,
  /** Sum of the hashes of all rows: the same whatever their order. */
  hash: z.string().regex(/^-?\d+$/),
});
export type TableFigures = z.infer<typeof tableFiguresSchema>;

/** The last entry of an archive: what must be found when it is read, and when it is restored. */
export const backupManifestSchema = z.object({
  ...backupHeadSchema.shape,
  tables: z.record(z.string(), z.object({ ...tableFiguresSchema.shape, columns: z.array(z.string()) })),
  /** Null: never used. */
  sequences: z.record(z.string(), z.string().nullable()),
  ledger: ledgerFiguresSchema,
  entries: z.array(z.object({ name: z.string(), bytes: count, sha256 })),
});
export type BackupManifest = z.infer<typeof backupManifestSchema>;

/** Beside the archive, readable without its key; there only once the archive has been read back and found whole. */
export const backupRecordSchema = z.object({
  ...backupHeadSchema.shape,
  archive: z.object({ bytes: z.int().min(1), sha256 }),
  /** Before it was packed. */
  dataBytes: count,
  tables: count,
  rows: count,
  ledger: ledgerFiguresSchema,
  seconds: z.number(),
});
export type BackupRecord = z.infer<typeof backupRecordSchema>;

export function rowsOf({ tables }: { tables: Readonly<Record<string, Pick<TableFigures, 'rows'>>> }): number {
  return Object.values(tables).reduce((sum, { rows }) => sum + rows, 0);
}

/** Whether every currency adds up to zero. */
function addsUp({ sums }: LedgerFigures): boolean {
  return Object.values(sums).every((sum) => BigInt(sum) === 0n);
}

/** Tables whose rows or ledger are not what the manifest says; empty: the restored database is equal. */
export function differences(
  manifest: { tables: Readonly<Record<string, TableFigures>>; ledger: LedgerFigures },
  found: { tables: Readonly<Record<string, TableFigures>>; ledger: LedgerFigures },
): string[] {
  const told = Object.entries(manifest.tables).flatMap(([name, { rows, hash }]) => {
    const there = found.tables[name];
    if (there === undefined) return [`${name} is missing`];
    if (there.rows !== rows) return [`${name} has ${there.rows} rows in place of ${rows}`];
    return there.hash === hash ? [] : [`${name} has other rows`];
  });
  const more = Object.keys(found.tables).filter((name) => !(name in manifest.tables));
  return [
    ...told,
    ...more.map((name) => `${name} is not in the backup`),
    ...(found.ledger.hash === manifest.ledger.hash ? [] : ['the ledger is another one']),
    ...(addsUp(found.ledger) ? [] : ['the ledger does not add up']),
  ];
}

/** A backup that lies in a folder. */
export interface ShelvedBackup extends BackupName {
  /** Its archive is there, with the size that was written down. */
  whole: boolean;
}

const dayOf = (id: string) => id.slice(0, 8);

/**
 * Backups of a fleet that may go. Of its `days` newest days that have a whole one, the last of each day stays, and of the newest
 * day all: who backs up every hour keeps as many days as who does every night. One that is not whole counts for nothing and goes
 * with its time, so the last good one stays whatever came after it.
 * @param made the one that was just made: it stays, also where a clock that was ahead has named others after it
 */
export function expendable(shelf: readonly ShelvedBackup[], tag: string, days: number, made?: string): string[] {
  const ours = shelf.filter((backup) => backup.tag === tag).sort((a, b) => (a.id < b.id ? 1 : -1));
  const whole = ours.filter(({ whole }) => whole).map(({ id }) => id);
  const kept = [...new Set(whole.map(dayOf))].slice(0, Math.max(1, days));
  const stay = new Set(
    whole.filter((id, i) => {
      const isLast = i === 0 || dayOf(whole[i - 1]!) !== dayOf(id);
      return kept.includes(dayOf(id)) && (isLast || dayOf(id) === kept[0]);
    }),
  );
  const oldest = kept.length < days ? undefined : [...stay].at(-1);
  return ours
    .filter(({ id, whole }) => id !== made && !stay.has(id) && (whole || (oldest !== undefined && id < oldest)))
    .map(({ id }) => id);
}
