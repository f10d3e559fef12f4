import type { Command } from 'commander';
import { CommandFailure, exitCodes } from '../failures.ts';
import { type VerifyOptions, verifyFile } from '../offline-licenses.ts';
import { ago, bad, bold, dim, good, line, plain, printJson, styledState, table, warn } from '../output.ts';
import { limitOption, outputOf, sessionOf } from '../program.ts';
import { save } from '../save.ts';

interface License {
  id: string;
  kind: string;
  state: string;
  holder: string;
  issuer: string;
  packageHash: string;
  purchaseId: string | null;
  suspendedBy: string[];
  uses: number;
  usesLimit: number | null;
  activations: number;
  activationsLimit: number | null;
  seats: number;
  seatsLimit: number | null;
  transferable: boolean;
  commercial: boolean;
  startsAt: string | null;
  expiresAt: string | null;
  graceSeconds: number;
}
interface LicenseEvent {
  change: string;
  from: string | null;
  to: string;
  actor: string;
  reason: string;
  at: string;
}
interface Permission {
  code: string;
  permitted: boolean;
  explanation: string;
  mend: string;
}

export function licenseCommands(program: Command): void {
  const licenses = program.command('license').description('what permits the use of packages');

  limitOption(
    licenses
      .command('list')
      .option('--state <state>', 'pending, active, suspended, revoked, expired or used_up')
      .option('--kind <kind>', 'such as personal')
      .option('--as <role>', 'holder or issuer; default: both')
      .description('licenses you hold or have issued, the last issued first'),
  ).action(async (options: { limit: number; state?: string; kind?: string; as?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const { limit, ...filters } = options;
    const page = await client.list<License>('/licenses', filters, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['LICENSE', (license) => license.id],
        ['KIND', (license) => license.kind],
        ['STATE', (license) => license.state],
        ['USES', (license) => share(license.uses, license.usesLimit)],
        ['PLACES', (license) => share(license.activations, license.activationsLimit)],
        ['ENDS', (license) => ago(license.expiresAt)],
        ['PACKAGE', (license) => license.packageHash.slice(0, 12)],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  licenses
    .command('show')
    .argument('<license>', 'its id')
    .description('one license and what became of it')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const license = await client.get<License>(pathOf(id));
      const events = await client.list<LicenseEvent>(pathOf(id, 'events'), {}, 200);
      if (json) return printJson({ ...license, events: events.items });
      line(`${bold(license.id)} ${license.kind}, ${styledState(license.state)}`);
      line(`package  ${license.packageHash}`);
      line(`holder   ${license.holder}`);
      line(`issuer   ${license.issuer}`);
      line(`uses     ${share(license.uses, license.usesLimit)}`);
      line(`places   ${share(license.activations, license.activationsLimit)}`);
      line(`seats    ${share(license.seats, license.seatsLimit)}`);
      line(`term     ${license.expiresAt === null ? 'without end' : `until ${license.expiresAt}`}`);
      line(
        `permits  ${license.commercial ? 'commercial use' : 'no commercial use'}${license.transferable ? ', to be passed on' : ''}`,
      );
      line();
      line(
        table(events.items, [
          ['WHEN', (event) => ago(event.at)],
          ['CHANGE', (event) => event.change],
          ['TO', (event) => event.to],
          ['BY', (event) => event.actor],
          ['WHY', (event) => event.reason],
        ]),
      );
    });

  licenses
    .command('give')
    .argument('<kind>', 'such as personal')
    .argument('<package>', 'SHA-256 of its content')
    .requiredOption('--reason <text>', 'why')
    .option('--to <user>', 'default: yourself')
    .option('--dry-run', 'check only')
    .description('give a license without a purchase')
    .action(
      async (
        kind: string,
        packageHash: string,
        { reason, to, dryRun }: { reason: string; to?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const license = await client.post<License & Would>(
          '/licenses',
          { kind, packageHash, holder: to, reason },
          { dryRun },
        );
        if (json) return printJson(license);
        line(
          license.would === undefined
            ? `${good('✔')} ${license.id} ${license.kind} for ${license.holder}`
            : `would ${license.would}`,
        );
      },
    );

  licenses
    .command('check')
    .argument('<license>', 'its id')
    .option('--purpose <purpose>', 'use, redeem, activate or transfer')
    .option('--package <sha256>', 'whether it is of this package')
    .option('--commercial', 'whether it permits commercial use')
    .option('--activation <id>', 'whether it is in use there')
    .description('what it permits now; nothing is used by asking')
    .action(
      async (
        id: string,
        options: { purpose?: string; package?: string; commercial?: boolean; activation?: string },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { purpose, package: packageHash, commercial, activation: activationId } = options;
        const body = { purpose, packageHash, commercial, activationId };
        const answer = await client.post<Permission>(pathOf(id, 'check'), body);
        if (json) return printJson(answer);
        line(`${answer.permitted ? good('✔') : bad('✖')} ${answer.code}: ${answer.explanation}`);
        if (!answer.permitted) line(`  ${answer.mend}`);
      },
    );

  licenses
    .command('redeem')
    .argument('<license>', 'its id')
    .argument('<redemption>', 'an id of your own; the same one again is the same use')
    .option('--dry-run', 'check only')
    .description('use it once')
    .action(async (id: string, redemptionId: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ use: number } & Would>(pathOf(id, 'redeem'), { redemptionId }, { dryRun });
      if (json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} use ${answer.use} of ${id}` : `would ${answer.would}`);
    });

  licenses
    .command('activate')
    .argument('<license>', 'its id')
    .argument('<activation>', 'an id of your own; the same one again is the same activation')
    .requiredOption('--place <machine>', 'what you call the machine')
    .option('--seat <person>', 'who uses it')
    .option('--dry-run', 'check only')
    .description('put it to use on a machine')
    .action(
      async (
        id: string,
        activationId: string,
        { place, seat, dryRun }: { place: string; seat?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const body = { activationId, place, seat };
        const answer = await client.post<{ place: string } & Would>(pathOf(id, 'activate'), body, { dryRun });
        if (json) return printJson(answer);
        line(
          answer.would === undefined
            ? `${good('✔')} ${id} is in use on ${plain(answer.place)}`
            : `would ${answer.would}`,
        );
      },
    );

  licenses
    .command('deactivate')
    .argument('<license>', 'its id')
    .argument('<activation>', 'its id')
    .description('end an activation')
    .action(async (id: string, activationId: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<{ place: string }>(pathOf(id, 'deactivate'), { activationId });
      if (json) return printJson(answer);
      line(`${good('✔')} ${id} is not in use on ${plain(answer.place)} any more`);
    });

  for (const [verb, description] of [
    ['suspend', 'it permits nothing until it is reinstated'],
    ['reinstate', 'take back a suspension by hand'],
    ['revoke', 'take it back for good'],
  ] as const) {
    licenses
      .command(verb)
      .argument('<license>', 'its id')
      .requiredOption('--reason <text>', 'why')
      .option('--dry-run', 'check only')
      .description(description)
      .action((id: string, { reason, dryRun }: Said, command: Command) =>
        change(id, verb, { reason }, dryRun, command),
      );
  }

  licenses
    .command('extend')
    .argument('<license>', 'its id')
    .requiredOption('--reason <text>', 'why')
    .option('--until <time>', 'new end of its term, ISO 8601')
    .option('--uses <n>', 'uses in all', (text) => Number.parseInt(text, 10))
    .option('--dry-run', 'check only')
    .description('more time or more uses')
    .action((id: string, { reason, until, uses, dryRun }: Said & { until?: string; uses?: number }, command: Command) =>
      change(id, 'extend', { reason, expiresAt: until, uses }, dryRun, command),
    );

  licenses
    .command('transfer')
    .argument('<license>', 'its id')
    .argument('<user>', 'who gets it')
    .requiredOption('--reason <text>', 'why')
    .option('--dry-run', 'check only')
    .description('pass it on; its activations end')
    .action((id: string, to: string, { reason, dryRun }: Said, command: Command) =>
      change(id, 'transfer', { to, reason }, dryRun, command),
    );

  licenses
    .command('usage')
    .argument('<license>', 'its id')
    .option('--csv', 'as CSV')
    .description('what was used of it on each day')
    .action(async (id: string, { csv }: { csv?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      if (csv) return save((await client.download(pathOf(id, 'usage'), { format: 'csv', limit: 200 })).body, undefined);
      const page = await client.list<{ day: string; redemptions: number; activations: number; files: number }>(
        pathOf(id, 'usage'),
        {},
        1000,
      );
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['DAY', (day) => day.day],
          ['REDEMPTIONS', (day) => day.redemptions],
          ['ACTIVATIONS', (day) => day.activations],
          ['FILES', (day) => day.files],
        ]),
      );
    });

  licenses
    .command('file')
    .argument('<license>', 'its id')
    .option('--activation <id>', 'whose place it holds in')
    .option('--ttl <seconds>', 'how long it holds')
    .option('-o, --output <file>', 'default: the standard output')
    .description('a signed file that proves it offline')
    .action(
      async (
        id: string,
        { activation: activationId, ttl: ttlSeconds, output }: { activation?: string; ttl?: string; output?: string },
        command: Command,
      ) => {
        const { client } = sessionOf(command);
        await save((await client.download(pathOf(id, 'file'), { activationId, ttlSeconds })).body, output);
      },
    );

  licenses
    .command('revocations')
    .option('--issuer <user>', 'default: the operator of the installation')
    .option('-o, --output <file>', 'default: the standard output')
    .description('the signed list of what is not to be honoured')
    .action(async ({ issuer, output }: { issuer?: string; output?: string }, command: Command) => {
      await save((await sessionOf(command).client.download('/revocations', { issuer })).body, output);
    });

  licenses
    .command('verify')
    .argument('<file>', 'made by `soulfra license file`')
    .option('--keys <file>', 'made by `soulfra keys export`; default: what `soulfra keys pin` has pinned')
    .option('--revocations <file>', 'made by `soulfra license revocations`')
    .option('--package <sha256>', 'whether it is of this package')
    .option('--place <machine>', 'where it is to be used')
    .option('--commercial', 'whether it permits commercial use')
    .description('verify a license file offline, with pinned keys alone')
    .action(async (file: string, options: VerifyOptions, command: Command) => {
      const verdict = await verifyFile(file, options);
      const { code, holds, explanation, license } = verdict;
      if (outputOf(command).json) printJson(verdict);
      else {
        line(`${holds ? (code === 'VALID' ? good('✔') : warn('●')) : bad('✖')} ${code}: ${explanation}`);
        if (license !== undefined) {
          line(`license  ${plain(license.license)} (${plain(license.kind)}) of ${plain(license.holder)}`);
          line(`package  ${plain(license.package)}`);
          if (license.activation !== null) line(`place    ${plain(license.activation.place)}`);
          line(`until    ${new Date(license.fileExpiresAt * 1000).toISOString()}`);
        }
      }
      if (!holds)
        throw new CommandFailure(`${file} does not hold: ${explanation}`, { exitCode: exitCodes.failed, code });
    });
}

interface Would {
  would?: string;
}
interface Said {
  reason: string;
  dryRun?: boolean;
}

async function change(
  id: string,
  verb: string,
  body: Record<string, unknown>,
  dryRun: boolean | undefined,
  command: Command,
): Promise<void> {
  const { client, json } = sessionOf(command);
  const license = await client.post<License & Would>(pathOf(id, verb), body, { dryRun });
  if (json) return printJson(license);
  line(license.would === undefined ? `${good('✔')} ${license.id} is ${license.state}` : `would ${license.would}`);
}

function pathOf(id: string, below?: string): string {
  return `/licenses/${encodeURIComponent(id)}${below === undefined ? '' : `/${below}`}`;
}

function share(count: number, limit: number | null): string {
  return limit === null ? `${count}` : `${count} of ${limit}`;
}
