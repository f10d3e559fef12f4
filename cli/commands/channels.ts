import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { channelKindNames } from '../../domain/channel-kinds.ts';
import { type Channel, channelIdsOf } from '../channels.ts';
import type { Client } from '../client.ts';
import { badInput } from '../failures.ts';
import { ago, confirm, good, line, plain, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

/** @param given its id or its name */
async function pathOf(client: Client, given: string): Promise<string> {
  const [id = given] = await channelIdsOf(client, [given]);
  return `/channels/${encodeURIComponent(id)}`;
}
const stateOf = ({ stoppedAt, stage }: Channel) => (stoppedAt === null ? stage : 'stopped');
const reasonOf = ({ stopReason, repliesStopReason: why }: Channel) =>
  stopReason !== '' || why === '' ? stopReason : `its replies are not read: ${why}`;

/** `name=value` of settings. */
function fieldsOf(pairs: readonly string[] | undefined): Record<string, string> {
  return Object.fromEntries(
    (pairs ?? []).map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw badInput(`${pair} is no name=value`, 'Write it such as server=https://mastodon.example.');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Secrets come in a file, so that they stand in no list of processes and no history. */
function secretsOf(file: string | undefined): Record<string, unknown> | undefined {
  if (file === undefined) return undefined;
  try {
    return JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw badInput(`${file} is no file with JSON`, 'Put {"accessToken": "…"} or the like into it.', cause);
  }
}

export function channelCommands(program: Command): void {
  const channels = program.command('channels').description('where drops (posts) go');

  channels
    .command('add')
    .argument('<kind>', channelKindNames.join(', '))
    .argument('<name>', 'what you call it')
    .option('--set <name=value...>', 'settings of the kind: docs/channels.md')
    .option('--secrets <file>', 'JSON file with the secrets of the kind; - is the standard input')
    .option('--allow-extractive', 'take texts that were put together by rule')
    .option('--allow-degraded', 'take texts of a smaller model that stood in')
    .option('--dry-run', 'check only')
    .description('add a channel, in dry run: nothing leaves until you take it further with `stage`')
    .action(
      async (
        kind: string,
        name: string,
        options: {
          set?: string[];
          secrets?: string;
          allowExtractive?: boolean;
          allowDegraded?: boolean;
          dryRun?: boolean;
        },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const { set, secrets, allowExtractive, allowDegraded, dryRun } = options;
        const body = {
          kind,
          name,
          settings: fieldsOf(set),
          secrets: secretsOf(secrets),
          allowExtractive,
          allowDegraded,
        };
        const made = await client.post<Channel>('/channels', body, { dryRun });
        if (json) return printJson(made);
        if (made.would !== undefined) return line(`would ${made.would}`);
        line(`${good('✔')} ${made.id} is there, in dry run`);
        if (made.kind === 'feed') line(`read it at /v1/feeds/${made.id}/atom, /rss or /json`);
        for (const [field, value] of Object.entries(made.secrets ?? {})) line(`${field} ${value}`);
      },
    );

  limitOption(channels.command('list').description('your channels')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Channel>('/channels', {}, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['CHANNEL', (channel) => channel.id],
          ['KIND', (channel) => channel.kind],
          ['NAME', (channel) => plain(channel.name)],
          ['STAGE', (channel) => styledState(stateOf(channel))],
          ['MADE', (channel) => ago(channel.createdAt)],
          ['REASON', (channel) => plain(reasonOf(channel))],
        ]),
      );
    },
  );

  channels
    .command('stage')
    .argument('<channel>', 'its name or id')
    .argument('<stage>', 'dry_run, approval or free')
    .option('--dry-run', 'check only')
    .description('take it one step further, or back')
    .action(async (id: string, stage: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      if (stage === 'free' && dryRun !== true && !(await confirm(`Post on ${id} without asking anybody?`, session)))
        return;
      told(
        session.json,
        await session.client.post<Channel>(`${await pathOf(session.client, id)}/stage`, { stage }, { dryRun }),
      );
    });

  channels
    .command('stop')
    .argument('<channel>', 'its name or id')
    .option('--reason <text>', 'why', 'by hand')
    .description('no post leaves by it until `resume`')
    .action(async (id: string, { reason }: { reason: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      told(json, await client.post<Channel>(`${await pathOf(client, id)}/stop`, { reason }));
    });

  channels
    .command('resume')
    .argument('<channel>', 'its name or id')
    .description('posts leave by it again')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      told(json, await client.post<Channel>(`${await pathOf(client, id)}/resume`));
    });

  channels
    .command('allow')
    .argument('<channel>', 'its name or id')
    .option('--extractive <yes|no>', 'texts that were put together by rule')
    .option('--degraded <yes|no>', 'texts of a smaller model that stood in')
    .description('which texts it takes')
    .action(async (id: string, options: { extractive?: string; degraded?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      const body = { allowExtractive: yesOf(options.extractive), allowDegraded: yesOf(options.degraded) };
      told(json, await client.patch<Channel>(await pathOf(client, id), body));
    });

  channels
    .command('secrets')
    .argument('<channel>', 'its name or id')
    .argument('<file>', 'JSON file with the new secrets; - is the standard input')
    .description('put other secrets in place of its own')
    .action(async (id: string, file: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      told(json, await client.post<Channel>(`${await pathOf(client, id)}/secrets`, { secrets: secretsOf(file) }));
    });

  channels
    .command('remove')
    .argument('<channel>', 'its name or id')
    .description('remove it with its secrets')
    .action(async (id: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm(`Remove ${id}?`, session))) return;
      await session.client.delete(await pathOf(session.client, id));
      if (session.json) printJson({ id, removed: true });
      else line(`${good('✔')} removed ${id}`);
    });
}

function told(json: boolean, channel: Channel): void {
  if (json) return printJson(channel);
  if (channel.would !== undefined) return line(`would ${channel.would}`);
  line(`${good('✔')} ${channel.id} is in ${stateOf(channel)}`);
}

function yesOf(word: string | undefined): boolean | undefined {
  if (word === undefined) return undefined;
  if (word !== 'yes' && word !== 'no') throw badInput(`${word} is neither yes nor no`, 'Write yes or no.');
  return word === 'yes';
}
