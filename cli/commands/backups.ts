import { resolve } from 'node:path';
import type { Command } from 'commander';
import { runBackupPart } from '../backup-part.ts';
import { badInput } from '../failures.ts';
import { bold, confirm, dim, good, line, printJson, table, warn } from '../output.ts';
import { outputOf } from '../program.ts';

interface Ledger {
  transfers: number;
  entries: number;
  sums: Record<string, string>;
  hash: string;
}
interface BackupRecord {
  id: string;
  madeAt: string;
  app: string;
  migrations: string[];
  archive: { bytes: number; sha256: string };
  tables: number;
  rows: number;
  ledger: Ledger;
  seconds: number;
}
interface Created {
  record: BackupRecord;
  archive: string;
  copy: { folder: string; reason: string } | null;
  deleted: string[];
  keyFile: string | null;
}
interface Shelved {
  id: string;
  archive: string;
  record?: BackupRecord;
  fault: string;
}
interface Verified {
  archive: string;
  id: string;
  madeAt: string;
  entries: number;
  tables: number;
  ledger: Ledger;
}
interface Drilled {
  id: string;
  madeAt: string;
  tables: number;
  rows: number;
  ledger: Ledger;
  rpoSeconds: number;
  rtoSeconds: number;
}
interface Restored extends Drilled {
  into: string;
  aside: string | null;
  migrated: string[];
}

const size = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
const when = (iso: string) => `${iso.slice(0, 19).replace('T', ' ')} UTC`;
const ledgerWords = ({ transfers, hash }: Ledger) => `ledger of ${transfers} transfers (${hash.slice(0, 12)})`;

export function backupCommands(program: Command): void {
  program
    .command('backup')
    .option('--to <folder>', 'only there: nothing is deleted, no second copy is made')
    .description('back up the running fleet of this folder: both databases at one moment, and its keys; encrypted')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const { json } = outputOf(command);
      const made = await runBackupPart<Created>(['create', ...folder(to)], { quiet: json });
      if (json) return printJson(made);
      const { record, archive, copy, deleted, keyFile } = made;
      line(
        `${good('✔')} ${bold(record.id)}  ${size(record.archive.bytes)} in ${record.seconds.toFixed(1)} s: ${record.tables} tables, ${record.rows} rows, ${ledgerWords(record.ledger)}`,
      );
      line(`  ${archive}`);
      if (copy !== null)
        line(
          copy.reason === ''
            ? `  copied to ${copy.folder}`
            : `  ${warn('!')} not copied to ${copy.folder}: ${copy.reason}`,
        );
      if (deleted.length > 0) line(dim(`  deleted, being older: ${deleted.join(', ')}`));
      line(
        keyFile === null
          ? '  Opened by the passphrase of SOULFRA_BACKUP_PASSPHRASE.'
          : `  Opened by ${keyFile}: keep a copy of that file elsewhere; without it no backup can be restored.`,
      );
    });

  const backups = program
    .command('backups')
    .description('backups of this folder’s fleet, and whether they can be restored');

  backups
    .command('list')
    .option('--to <folder>', 'of another folder')
    .description('backups there are, the newest first; with everything down, too')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const { json } = outputOf(command);
      const shelf = await runBackupPart<{ folder: string; items: Shelved[] }>(['list', ...folder(to)], { quiet: true });
      if (json) return printJson(shelf);
      line(
        table(shelf.items, [
          ['BACKUP', ({ id }) => id],
          ['MADE', ({ record }) => record && when(record.madeAt)],
          ['SIZE', ({ record }) => record && size(record.archive.bytes)],
          ['ROWS', ({ record }) => record?.rows],
          ['SCHEMA', ({ record }) => record?.migrations.at(-1)?.slice(0, 6)],
          ['STATE', ({ fault }) => (fault === '' ? 'whole' : fault)],
        ]),
      );
      line(dim(shelf.folder));
    });

  backups
    .command('verify')
    .argument('[backup]', 'id or file; default: the newest')
    .option('--to <folder>', 'of another folder')
    .description('read a backup from its first to its last byte; 1 where it is damaged')
    .action(async (wanted: string | undefined, { to }: { to?: string }, command: Command) => {
      const { json } = outputOf(command);
      const found = await runBackupPart<Verified>(['verify', wanted ?? 'newest', ...folder(to)], { quiet: json });
      if (json) return printJson(found);
      line(
        `${good('✔')} ${bold(found.id)} of ${when(found.madeAt)} is whole: ${found.entries} entries, ${found.tables} tables, ${ledgerWords(found.ledger)}`,
      );
    });

  backups
    .command('drill')
    .argument('[backup]', 'id or file; default: the newest')
    .description('restore a backup beside the running fleet, compare it, and throw it away')
    .action(async (wanted: string | undefined, _options: object, command: Command) => {
      const { json } = outputOf(command);
      const drilled = await runBackupPart<Drilled>(['drill', wanted ?? 'newest'], { quiet: json });
      if (json) return printJson(drilled);
      line(`${good('✔')} ${bold(drilled.id)} can be restored: ${equal(drilled)}`);
      line(
        `  RPO ${drilled.rpoSeconds} s (what would have been lost) · RTO ${drilled.rtoSeconds.toFixed(1)} s (until it was back)`,
      );
    });

  program
    .command('restore')
    .argument('<backup>', 'id or file, or newest')
    .option('--into <folder>', 'another data folder than that of here')
    .option('--to <folder>', 'where the backup lies, if not where backups lie here')
    .description('restore a fleet that does not run; what is there now is kept aside')
    .action(async (wanted: string, { into, to }: { into?: string; to?: string }, command: Command) => {
      const output = outputOf(command);
      const question = `Restore ${wanted}${into === undefined ? '' : ` into ${into}`}? What is there now is kept aside.`;
      if (!(await confirm(question, output))) throw badInput('nothing was restored');
      const done = await runBackupPart<Restored>(
        ['restore', wanted, ...folder(to), ...(into === undefined ? [] : ['--into', resolve(into)])],
        { quiet: output.json },
      );
      if (output.json) return printJson(done);
      line(`${good('✔')} restored as of ${when(done.madeAt)} into ${done.into}: ${equal(done)}`);
      line(`  RPO ${done.rpoSeconds} s (what is lost) · RTO ${done.rtoSeconds.toFixed(1)} s`);
      if (done.migrated.length > 0) line(`  schema brought up to date: ${done.migrated.length} migrations`);
      if (done.aside !== null) line(`  what was there before: ${done.aside}`);
      line(
        '  It goes on with `npm start`. Posts and payouts wait until somebody has looked: soulfra inbox, soulfra drops resume-all',
      );
    });
}

const folder = (to: string | undefined) => (to === undefined ? [] : ['--to', resolve(to)]);
const equal = ({ tables, rows, ledger }: Drilled) =>
  `${tables} tables and ${rows} rows equal, ${ledgerWords(ledger)} equal`;
