import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CommandFailure, exitCodes } from '../failures.ts';
import { ago, bad, bold, dim, good, line, printJson, table } from '../output.ts';
import { limitOption, sessionOf, outputOf } from '../program.ts';

interface Run {
  id: string;
  target: string;
  state: string;
  reason: string;
  startedAt: string;
  entries: number | null;
  bytes: number | null;
  written: number | null;
  removed: number | null;
  sha256: string | null;
}

export function mirrorCommands(program: Command): void {
  const mirror = program
    .command('mirror')
    .description('copies of what is public, for everybody (docs/public-mirror.md)');

  mirror
    .command('run')
    .option('--dry-run', 'check only')
    .description('copy what is public now, before its time')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ workflowId?: string; would?: string }>('/mirror-runs', {}, { dryRun });
      if (json) return printJson(answer);
      if (answer.would !== undefined) return line(`would ${answer.would}`);
      line(`${good('✔')} begun: soulfra mirror status shows how it ends`);
    });

  limitOption(mirror.command('status').description('what the last copies wrote and removed, the last first')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Run>('/mirror-runs', {}, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['RUN', ({ id }) => id],
          ['STATE', ({ state }) => state],
          ['ENTRIES', ({ entries }) => entries],
          ['WRITTEN', ({ written }) => written],
          ['REMOVED', ({ removed }) => removed],
          ['MANIFEST', ({ sha256 }) => sha256?.slice(0, 12)],
          ['BEGUN', ({ startedAt }) => ago(startedAt)],
          ['WHY', ({ reason }) => reason],
        ]),
      );
      if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
    },
  );

  mirror
    .command('verify')
    .argument('<folder>', 'a mirror, or a copy of one')
    .description('read a mirrored folder against its manifest; 1 where it differs; needs no fleet')
    .action(async (folder: string, _options: object, command: Command) => {
      const { json } = outputOf(command);
      const { readMirror } = await import('../../doctor/mirror.ts');
      const found = await readMirror(resolve(folder));
      if (json) printJson(found);
      else if (found.wrong.length === 0)
        line(
          `${good('✔')} ${bold(`${found.files} files`)} of ${found.madeAt} are whole (${found.sha256.slice(0, 12)})`,
        );
      else for (const each of found.wrong) line(`${bad('✖')} ${each}`);
      if (found.wrong.length > 0)
        throw new CommandFailure(`${found.wrong.length} of ${found.files} files differ`, {
          exitCode: exitCodes.failed,
        });
    });
}
