import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { licensePath as pathOf, type Would } from '../licenses.ts';
import { ago, bad, bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';
import { save } from '../save.ts';
import { licenseChangeCommands } from './license-changes.ts';
import { licenseFileCommands } from './license-files.ts';

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
interface Activation {
  activationId: string;
  place: string;
  seat: string;
  activatedAt: string;
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
      const activations = await client.list<Activation>(pathOf(id, 'activations'), {}, 200);
      if (json) return printJson({ ...license, inUse: activations.items, events: events.items });
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
      if (activations.items.length > 0) {
        line();
        line(
          table(activations.items, [
            ['ACTIVATION', (each) => each.activationId],
            ['PLACE', (each) => each.place],
            ['SEAT', (each) => each.seat],
            ['SINCE', (each) => ago(each.activatedAt)],
          ]),
        );
      }
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
    .option('--purpose <purpose>', 'use, redeem, activate, download or transfer')
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

  licenses
    .command('usage')
    .argument('<license>', 'its id')
    .option('--csv', 'as CSV')
    .description('what was used of it on each day')
    .action(async (id: string, { csv }: { csv?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      if (csv) return save(Readable.from(client.csv(pathOf(id, 'usage'))), undefined);
      const page = await client.list<{ day: string; redemptions: number; activations: number; files: number }>(
        pathOf(id, 'usage'),
        {},
        Number.POSITIVE_INFINITY,
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

  licenseChangeCommands(licenses);
  licenseFileCommands(licenses);
}

function share(count: number, limit: number | null): string {
  return limit === null ? `${count}` : `${count} of ${limit}`;
}
