import type { Command } from 'commander';
import { moneyText, parseMoney } from '../../domain/money.ts';
import { wholeCreatorPart } from '../../domain/listings.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import type { Would } from '../licenses.ts';
import { bold, dim, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Listing {
  id: string;
  seller: string;
  state: string;
  title: string;
  summary: string;
  price: { amount: number; currency: string };
  kinds: string[];
  termsVersion: string;
  creators: Array<{ userId: string; weight: number }>;
  modelStatement: string;
  packageId: string;
  contentHash: string;
  agentName: string;
  memories: number;
  reflections: number;
  models: Array<{ id: string; license: string | null; commercialUse: string }>;
  version: number;
  takenDown: string | null;
}

interface OfferOptions {
  title?: string;
  summary?: string;
  price?: string;
  currency?: string;
  terms?: string;
  kinds?: string;
  creator?: string[];
  modelStatement?: string;
  dryRun?: boolean;
}

export function listingCommands(program: Command): void {
  const listings = program.command('listings').description('packages on offer');

  limitOption(
    listings
      .command('list')
      .option('--mine', 'only your own')
      .option('--state <state>', 'draft, listed, paused or retired')
      .description('what is on offer, and your own in any state'),
  ).action(async (options: { limit: number; mine?: boolean; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const { limit, ...filters } = options;
    const page = await client.list<Listing>('/listings', filters, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['LISTING', ({ id }) => id],
        ['TITLE', ({ title }) => plain(title)],
        ['STATE', ({ state }) => state],
        ['PRICE', ({ price }) => moneyText(price)],
        ['KINDS', ({ kinds }) => kinds.join(', ')],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  listings
    .command('show')
    .argument('<listing>', 'its id')
    .description('one listing: what is in it, what it costs, who gets what')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const listing = await client.get<Listing>(pathOf(id));
      if (json) return printJson(listing);
      line(`${bold(plain(listing.title))} ${listing.id}, ${styledState(listing.state)}`);
      if (listing.takenDown !== null) line(`  taken down: ${plain(listing.takenDown)}`);
      if (listing.summary !== '') line(plain(listing.summary));
      line(`price    ${moneyText(listing.price)}, terms ${listing.termsVersion}`);
      line(`kinds    ${listing.kinds.join(', ')}`);
      line(`package  ${listing.contentHash}`);
      line(
        `holds    ${plain(listing.agentName)}, ${listing.memories} memories, ${listing.reflections} of them reflections`,
      );
      line(
        `models   ${listing.models.map(({ id: model, license }) => plain(`${model} (${license ?? 'unknown'})`)).join(', ')}`,
      );
      if (listing.modelStatement !== '') line(`         ${plain(listing.modelStatement)}`);
      line(`seller   ${listing.seller}`);
      for (const { userId, weight } of listing.creators) line(`creator  ${userId} ${weight / 100} %`);
    });

  offerOptions(listings.command('create').argument('<package>', 'id of a loop package of yours'))
    .option('--key <key>', 'the same key drafts once; default: none')
    .description('draft an offer of a package; `publish` puts it up')
    .action(async (packageId: string, { key, ...options }: OfferOptions & { key?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      const { dryRun } = options;
      const body = { packageId, termsVersion: '1', kinds: ['personal'], ...offerOf(options) };
      const headers = key === undefined ? {} : { 'idempotency-key': key };
      const listing = await client.post<Listing & Would>('/listings', body, { dryRun }, headers);
      if (json) return printJson(listing);
      if (listing.would !== undefined) return line(`would ${listing.would}`);
      line(`${good('✔')} ${listing.id} ${plain(listing.title)} for ${moneyText(listing.price)}, a draft`);
      line(dim(`put it on offer: soulfra listings publish ${listing.id}`));
    });

  offerOptions(listings.command('set').argument('<listing>', 'its id'))
    .description('change what is offered; what was sold keeps what it was sold with')
    .action(async (id: string, options: OfferOptions, command: Command) => {
      const { client, json } = sessionOf(command);
      const { dryRun } = options;
      // Made of what is there now: a change that comes in between is refused, not overwritten.
      const { version } = await client.get<Listing>(pathOf(id));
      const headers = { 'if-match': `"${version}"` };
      const listing = await client.patch<Listing & Would>(pathOf(id), offerOf(options), { dryRun }, headers);
      if (json) return printJson(listing);
      line(
        listing.would === undefined
          ? `${good('✔')} ${listing.id} is at version ${listing.version}, for ${moneyText(listing.price)}`
          : `would ${listing.would}`,
      );
    });

  for (const { name, verb, says } of [
    { name: 'publish', verb: 'list', says: 'put it on offer' },
    { name: 'pause', verb: 'pause', says: 'take it off until it is published again' },
    { name: 'retire', verb: 'retire', says: 'take it off for good' },
  ]) {
    listings
      .command(name)
      .argument('<listing>', 'its id')
      .option('--dry-run', 'check only')
      .description(says)
      .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
        const { client, json } = sessionOf(command);
        const listing = await client.post<Listing & Would>(`${pathOf(id)}/${verb}`, undefined, { dryRun });
        if (json) return printJson(listing);
        line(listing.would === undefined ? `${good('✔')} ${id} is ${listing.state}` : `would ${listing.would}`);
      });
  }

  listings
    .command('take-down')
    .argument('<listing>', 'its id, whoever sells it')
    .requiredOption('--reason <text>', 'which its seller is told')
    .option('--dry-run', 'check only')
    .description('take any listing off until it is put back; for who runs the marketplace')
    .action(async (id: string, { reason, dryRun }: { reason: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<Would>(`${pathOf(id)}/take-down`, { reason }, { dryRun });
      if (json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} ${id} is taken down` : `would ${answer.would}`);
    });
  listings
    .command('put-back')
    .argument('<listing>', 'its id')
    .option('--dry-run', 'check only')
    .description('let its seller publish again what was taken down')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<Would>(`${pathOf(id)}/put-back`, undefined, { dryRun });
      if (json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} ${id} may be published again` : `would ${answer.would}`);
    });
}

function pathOf(id: string): string {
  return `/listings/${encodeURIComponent(id)}`;
}

function offerOptions(command: Command): Command {
  return command
    .option('--title <text>')
    .option('--summary <text>')
    .option('--price <amount>', 'in decimal, such as 12.50')
    .option('--currency <code>', 'by ISO 4217, such as EUR')
    .option('--terms <version>', 'version of the terms of sale')
    .option('--kinds <kinds>', 'kinds of licenses, with commas between')
    .option('--creator <user=percent...>', 'who shares the creator part, such as usr_…=33.34; default: you alone')
    .option('--model-statement <text>', 'what you have found out about models of unknown license')
    .option('--dry-run', 'check only');
}

function offerOf({ title, summary, price, currency, terms, kinds, creator, modelStatement }: OfferOptions) {
  if ((price === undefined) !== (currency === undefined)) throw wrong('--price and --currency go together');
  return {
    title,
    summary,
    modelStatement,
    ...(price === undefined ? {} : { price: parseMoney(price, currency!.toUpperCase(), '--price') }),
    ...(terms === undefined ? {} : { termsVersion: terms }),
    ...(kinds === undefined ? {} : { kinds: kinds.split(',').map((kind) => kind.trim()) }),
    ...(creator === undefined ? {} : { creators: creator.map(shareOf) }),
  };
}

/** `usr_…=33.34`: percent with at most two decimals. */
function shareOf(text: string): { userId: string; weight: number } {
  const [userId, percent] = text.split('=');
  const parts = /^(\d{1,3})(?:\.(\d{1,2}))?$/.exec(percent ?? '');
  if (!parts)
    throw wrong(`--creator takes a user and percent with at most two decimals, such as usr_…=33.34, not ${text}`);
  const weight = Number(parts[1]) * (wholeCreatorPart / 100) + Number((parts[2] ?? '').padEnd(2, '0'));
  return { userId: userId!, weight };
}

function wrong(message: string): CommandFailure {
  return new CommandFailure(message, { exitCode: exitCodes.badInput, code: 'INVALID_INPUT', mend: 'See --help.' });
}
