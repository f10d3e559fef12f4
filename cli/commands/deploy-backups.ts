import type { Command } from 'commander';
import { runPart } from '../backup-part.ts';
import { badInput } from '../failures.ts';
import { bold, confirm, dim, good, line, printJson, table, warn } from '../output.ts';
import { outputOf } from '../program.ts';
import { argumentsOf, deployProgram, placed, type Where } from './deploy-place.ts';

interface Ledger {
  transfers: number;
  hash: string;
}
interface MadeBackup {
  record: { id: string; archive: { bytes: number }; rows: number };
  label: string;
  type: string;
  copy: { folder: string; reason: string } | null;
  deleted: string[];
  seconds: number;
}
interface Repository {
  repository: string;
  second: string | null;
  items: {
    label: string;
    type: string;
    endedAt: string;
    bytes: number;
    dataBytes: number;
    app: string | null;
    fault: string;
  }[];
}
interface Verified {
  backups: number;
  repository: string;
  copy: { folder: string; reason: string } | null;
  /** A backup was being made meanwhile, or the second copy brought up to date. */
  isBusy: boolean;
}
interface Compared {
  tables: number;
  rows: number;
  ledger: Ledger;
  workflows: number;
  rpoSeconds: number;
  rtoSeconds: number;
}
interface Drilled extends Compared {
  /** Of the backup that it began with. */
  id: string;
}
interface Restored extends Compared {
  label: string;
  madeAt: string;
  aside: string | null;
}

/** A promoted standby has acts of its own, and is told which machine it is as for its promotion. */
const placedHere = (command: Command) =>
  placed(command).option('--machine <id>', 'which machine of fleet.yaml this host is');

/** Backups of a deployment, whose cluster is backed up as a whole. */
export function deployBackupCommands(deploy: Command): void {
  placedHere(deploy.command('backup'))
    .description('back the cluster up now, on its coordinating machine: application and Temporal at once, encrypted')
    .action((where: Where, command: Command) =>
      act<MadeBackup>('backup', where, command, (done) => {
        const { record, label, type, copy, deleted, seconds } = done;
        line(
          `${good('✔')} ${bold(label)} (${type}): ${size(record.archive.bytes)} in ${seconds.toFixed(1)} s, about ${record.rows} rows`,
        );
        if (copy !== null) line(copied(copy));
        if (deleted.length > 0) line(dim(`  let go, being older: ${deleted.join(', ')}`));
      }),
    );

  placedHere(deploy.command('backups'))
    .description('backups of the cluster, the newest first; any moment after the first of them can be restored')
    .action((where: Where, command: Command) =>
      act<Repository>('backups', where, command, (done) => {
        line(
          table(done.items, [
            ['BACKUP', ({ label }) => label],
            ['TYPE', ({ type }) => type],
            ['ENDED', ({ endedAt }) => when(endedAt)],
            ['SIZE', ({ bytes }) => size(bytes)],
            ['DATA', ({ dataBytes }) => size(dataBytes)],
            ['SOULFRA', ({ app }) => app ?? '?'],
            ['STATE', ({ fault }) => (fault === '' ? 'whole' : fault)],
          ]),
        );
        line(dim(done.second === null ? done.repository : `${done.repository}, copied to ${done.second}`));
      }),
    );

  placedHere(deploy.command('verify'))
    .description('read every backup and every change in the repository to its last byte, and compare the second copy')
    .action((where: Where, command: Command) =>
      act<Verified>('verify', where, command, (done) => {
        const { backups, repository, copy, isBusy } = done;
        line(`${good('✔')} ${backups} ${backups === 1 ? 'backup is' : 'backups are'} whole in ${bold(repository)}`);
        if (copy !== null) line(copied(copy));
        if (isBusy) line(dim('  what the second copy has is the same; what it lacks is being copied to it just now'));
      }),
    );

  placedHere(deploy.command('drill'))
    .description('restore the cluster of this moment beside the running one, compare every row, and throw it away')
    .action((where: Where, command: Command) =>
      act<Drilled>('drill', where, command, (done) => {
        line(`${good('✔')} ${bold(done.id)} and the changes since can be restored: ${equal(done)}`);
        line(
          `  RPO ${done.rpoSeconds} s (what would have been lost) · RTO ${done.rtoSeconds.toFixed(1)} s (until it was back)`,
        );
      }),
    );

  placedHere(deploy.command('restore'))
    .requiredOption('--to <time>', 'a time with its zone (2026-11-23T01:30:00Z), or latest')
    .option('--second', 'the repository is lost too: bring it back from its second copy (backup.to) first')
    .description('restore the cluster of a deployment that stands still; what is there now is kept aside')
    .action(async (where: Where & { to: string; second?: true }, command: Command) => {
      if (!(await confirm(`Restore the cluster to ${where.to}? What is there now is kept aside.`, outputOf(command))))
        throw badInput('nothing was restored');
      const more = ['--to', where.to, ...(where.second ? ['--second'] : [])];
      await act<Restored>(
        'restore',
        where,
        command,
        (done) => {
          line(`${good('✔')} restored as of ${when(done.madeAt)} from ${bold(done.label)}: ${words(done)}`);
          line(`  RPO ${done.rpoSeconds} s (what is lost) · RTO ${done.rtoSeconds.toFixed(1)} s`);
          if (done.aside !== null) line(`  what there was before: ${done.aside}`);
          line('  It goes on with `soulfra deploy apply`. A standby copies anew by itself (docs/backup.md).');
          line('  Posts and payouts wait until somebody has looked: soulfra inbox, soulfra drops resume-all');
        },
        more,
      );
    });
}

/** Has it done, and prints what came of it: as JSON where that is asked for, else by `print`. */
async function act<Done>(
  name: string,
  where: Where,
  command: Command,
  print: (done: Done) => void,
  more: readonly string[] = [],
): Promise<void> {
  const { json } = outputOf(command);
  const { done } = await runPart<{ done: Done }>(deployProgram, [name, ...argumentsOf(where), ...more], {
    quiet: json,
    onProgress: (text) => line(dim(`  ${text}`)),
  });
  if (json) printJson(done);
  else print(done);
}

const copied = ({ folder, reason }: { folder: string; reason: string }) =>
  reason === '' ? `  copied to ${folder}` : `  ${warn('!')} not copied to ${folder}: ${reason}`;
const size = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
const when = (iso: string) => `${iso.slice(0, 19).replace('T', ' ')} UTC`;
const words = ({ tables, rows, ledger, workflows }: Compared) =>
  `${tables} tables, ${rows} rows, ledger of ${ledger.transfers} transfers (${ledger.hash.slice(0, 12)}), ${workflows} workflows`;
const equal = (compared: Compared) => `equal in ${words(compared)}`;
