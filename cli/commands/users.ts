import type { Command } from 'commander';
import { cliEnvironment } from '../../config/environment.ts';
import type { Client } from '../client.ts';
import { badInput } from '../failures.ts';
import { hiddenLines } from '../hidden-lines.ts';
import { ago, confirm, good, line, printJson, table } from '../output.ts';
import { limitOption, outputOf, sessionOf } from '../program.ts';
import { stranger } from '../stranger.ts';

interface User {
  id: string;
  name: string;
  role: string;
  address: string | null;
  state: string;
  createdAt: string;
}

export function userCommands(program: Command): void {
  const users = program.command('users').description('who was invited or signed up');

  limitOption(users.command('list').description('users, the last one first')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<User>('/users', {}, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['USER', (user) => user.id],
          ['ROLE', (user) => user.role],
          ['NAME', (user) => user.name],
          ['ADDRESS', (user) => user.address],
          ['STATE', (user) => user.state],
          ['SINCE', (user) => ago(user.createdAt)],
        ]),
      );
    },
  );

  users
    .command('invite')
    .argument('<address>', 'their mail address')
    .option('--role <role>', 'creator, member or reader', 'member')
    .option('--name <name>', 'how they are called')
    .option('--dry-run', 'check only')
    .description('make a user and mail them a sign-in link')
    .action(
      async (
        address: string,
        { role, name, dryRun }: { role: string; name?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        const made = await client.post<{ id: string; would?: string }>('/users', { address, role, name }, { dryRun });
        if (json) return printJson(made);
        line(made.would === undefined ? `${good('✔')} ${made.id} invited as ${role}` : `would ${made.would}`);
      },
    );

  users
    .command('role')
    .argument('<user>', 'id of the user')
    .argument('<role>', 'creator, member or reader')
    .option('--dry-run', 'check only')
    .description('give a user another role, at once; whoever runs the installation keeps theirs')
    .action(async (id: string, role: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const path = `/users/${encodeURIComponent(id)}`;
      const user = await client.patch<User & { would?: string }>(path, { role }, { dryRun });
      if (json) return printJson(user);
      line(user.would === undefined ? `${good('✔')} ${id} is ${user.role}` : `would ${user.would}`);
    });

  users
    .command('delete')
    .argument('<user>', 'id of the user')
    .description('take away address, name, tokens and endpoints; the ledger keeps the id')
    .action(async (id: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      const path = `/users/${encodeURIComponent(id)}`;
      const { would } = await session.client.delete<{ would: string }>(path, { dryRun: true });
      if (!(await confirm(`${would}. Go on?`, session))) return;
      await session.client.delete(path);
      if (session.json) printJson({ id, deleted: true });
      else line(`${good('✔')} deleted ${id}`);
    });

  program
    .command('sign-up')
    .argument('<address>', 'your mail address')
    .description('have a sign-in link mailed, at SOULFRA_URL')
    .action(async (address: string, _options: object, command: Command) => {
      const { json } = outputOf(command);
      const answer = await stranger().post('/sign-ups', { address });
      if (json) return printJson(answer);
      line('If the address may sign in, a link is on its way. Then: soulfra sign-in LINK');
    });

  program
    .command('sign-in')
    .argument('[link]', 'as it was mailed')
    .option(
      '--address <address>',
      'your mail address, to sign in by your password; it is asked for, or a line of stdin',
    )
    .description('swap a sign-in link, or address and password, for a token of 30 days, at SOULFRA_URL')
    .action(async (link: string | undefined, { address }: { address?: string }, command: Command) => {
      const { json } = outputOf(command);
      const signedIn = await (address === undefined ? byLink(link) : byPassword(address, link));
      if (json) return printJson(signedIn);
      line(signedIn.token);
    });
}

interface SignedIn {
  role: string;
  token: string;
}

function byLink(link: string | undefined): Promise<SignedIn> {
  if (link === undefined)
    throw badInput('Neither a link nor --address was given', 'soulfra sign-up ADDRESS mails a link.');
  const once = new URLSearchParams(URL.parse(link)?.hash.slice(1) ?? '').get('once') ?? link;
  return stranger().post<SignedIn>('/sessions', { once, as: 'token' });
}

async function byPassword(address: string, link: string | undefined): Promise<SignedIn> {
  if (link !== undefined) throw badInput('Both a link and --address were given', 'Give one of them.');
  const [password] = await hiddenLines(['Password']);
  return stranger().post<SignedIn>('/sign-ins', { address, password, as: 'token' });
}

/** Who the token speaks for, and the end of it. */
export function meCommands(program: Command): void {
  program
    .command('sign-out')
    .option('--others', 'end whatever else you signed in by, in browsers too; tokens of programs stay')
    .description('end the token that SOULFRA_TOKEN holds; `soulfra token list` shows the others')
    .action(async ({ others }: { others?: true }, command: Command) => {
      const session = sessionOf(command);
      if (others) return signOutOthers(session);
      if (cliEnvironment().token === undefined)
        throw badInput('SOULFRA_TOKEN is not set', 'The token of `npm start` is the installation’s own: keep it.');
      const { tokenId } = await session.client.get<Me>('/me');
      if (!(await confirm(`End ${tokenId}?`, session))) return;
      await session.client.delete(`/tokens/${encodeURIComponent(tokenId)}`);
      if (session.json) printJson({ id: tokenId, revoked: true });
      else line(`${good('✔')} signed out`);
    });

  const me = program.command('me').description('who you are here');
  me.command('show', { isDefault: true })
    .description('whom the token speaks for')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const { userId, name, role, tokenId } = await client.get<Me>('/me');
      if (json) return printJson({ userId, name, role, tokenId });
      line(`${userId} ${name}, as ${role} by ${tokenId}`);
    });

  me.command('password')
    .option('--remove', 'take it away: mailed links alone sign you in')
    .description('set your password; it is asked for, or two lines of stdin: the new one, and the one before')
    .action(async ({ remove }: { remove?: true }, command: Command) => {
      const { client, json } = sessionOf(command);
      const { ended } = remove ? await client.delete<Ended>('/me/password') : await setPassword(client);
      if (json) return printJson({ ended });
      line(`${good('✔')} your password is ${remove ? 'gone' : 'set'}; ${ended} other sessions and links ended`);
    });

  me.command('delete')
    .option('--dry-run', 'say what would go and what stays')
    .description('delete yourself: address, name, tokens and endpoints; the ledger keeps the id')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const { would } = await session.client.delete<{ would: string }>('/me', { dryRun: true });
      if (dryRun) return session.json ? printJson({ dryRun, would }) : line(`would ${would}`);
      if (!(await confirm(`${would}. This cannot be undone. Go on?`, session))) return;
      await session.client.delete('/me');
      if (session.json) printJson({ deleted: true });
      else line(`${good('✔')} you are gone from here`);
    });
}

async function signOutOthers(session: ReturnType<typeof sessionOf>): Promise<void> {
  if (!(await confirm('End whatever else you signed in by?', session))) return;
  const { ended } = await session.client.delete<Ended>('/me/sessions');
  if (session.json) printJson({ ended });
  else line(`${good('✔')} ${ended} sessions and links ended`);
}

interface Ended {
  ended: number;
}

async function setPassword(client: Client): Promise<Ended> {
  const [password, current] = await hiddenLines([
    'New password, at least 12 characters',
    'The one before (nothing where you signed in just now)',
  ]);
  return client.put<Ended>('/me/password', { password, ...(current === '' ? {} : { current }) });
}

interface Me {
  userId: string;
  name: string;
  role: string;
  tokenId: string;
}
