import type { Command } from 'commander';
import { licensePath, type Would } from '../licenses.ts';
import { confirm, good, line, printJson } from '../output.ts';
import { sessionOf, wholeNumber } from '../program.ts';

interface Said {
  reason: string;
  dryRun?: boolean;
}

/** What issuers and holders change, each with a reason. */
export function licenseChangeCommands(licenses: Command): void {
  for (const [verb, description, warning] of [
    ['suspend', 'it permits nothing until it is reinstated', undefined],
    ['reinstate', 'take back a suspension by hand', undefined],
    ['revoke', 'take it back for good', 'Nothing brings it back.'],
  ] as const) {
    licenses
      .command(verb)
      .argument('<license>', 'its id')
      .requiredOption('--reason <text>', 'why')
      .option('--dry-run', 'check only')
      .description(description)
      .action((id: string, { reason, dryRun }: Said, command: Command) =>
        change({ id, verb, body: { reason }, dryRun, warning }, command),
      );
  }

  licenses
    .command('extend')
    .argument('<license>', 'its id')
    .requiredOption('--reason <text>', 'why')
    .option('--until <time>', 'new end of its term, ISO 8601')
    .option('--uses <n>', 'uses in all', wholeNumber)
    .option('--dry-run', 'check only')
    .description('more time or more uses')
    .action((id: string, { reason, until, uses, dryRun }: Said & { until?: string; uses?: number }, command: Command) =>
      change({ id, verb: 'extend', body: { reason, expiresAt: until, uses }, dryRun }, command),
    );

  licenses
    .command('transfer')
    .argument('<license>', 'its id')
    .argument('<user>', 'who gets it')
    .requiredOption('--reason <text>', 'why')
    .option('--dry-run', 'check only')
    .description('pass it on; its activations end')
    .action((id: string, to: string, { reason, dryRun }: Said, command: Command) =>
      change({ id, verb: 'transfer', body: { to, reason }, dryRun, warning: `Only ${to} can give it back.` }, command),
    );
}

async function change(
  {
    id,
    verb,
    body,
    dryRun,
    warning,
  }: {
    id: string;
    verb: string;
    body: Record<string, unknown>;
    dryRun: boolean | undefined;
    /** Of what cannot be undone: then it is asked about first. */
    warning?: string | undefined;
  },
  command: Command,
): Promise<void> {
  const session = sessionOf(command);
  const { client, json } = session;
  if (warning !== undefined && !dryRun && !(await confirm(`${verb} ${id}? ${warning}`, session))) return;
  const license = await client.post<{ id: string; state: string } & Would>(licensePath(id, verb), body, { dryRun });
  if (json) return printJson(license);
  line(license.would === undefined ? `${good('✔')} ${license.id} is ${license.state}` : `would ${license.would}`);
}
