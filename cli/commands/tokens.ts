import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { CommandFailure, exitCodes } from '../failures.ts';
import { ago, confirm, good, line, printJson, table } from '../output.ts';
import { sessionOf, wholeNumber } from '../program.ts';
import { findTarget } from '../target.ts';

interface Token {
  id: string;
  kind: string;
  role: string;
  name: string;
  createdAt: string;
  expiresAt: string | null;
  usedAt: string | null;
  revokedAt: string | null;
  service: string | null;
  scopes: string[] | null;
}

interface NewToken {
  role?: string;
  name?: string;
  days?: number;
  neverExpires?: true;
  once?: boolean;
  scope?: string[];
}

/** As the API takes it: null is never, and nothing said is its default. */
export function daysOf({ days, neverExpires }: Pick<NewToken, 'days' | 'neverExpires'>): number | null | undefined {
  return neverExpires === true ? null : days;
}

export function tokenCommands(program: Command): void {
  const tokens = program.command('token').description('who may call the API');

  tokens
    .command('create')
    .option('--role <role>', 'operator, creator, member or reader; default: reader, for --once your own')
    .option('--name <name>', 'to know it again by')
    .option('--days <n>', 'until it expires; default: 90', wholeNumber)
    .option('--never-expires', 'only for what cannot be given a new one')
    .option('--scope <scope...>', 'all that it may, such as drops:write agents:read; default: all that its role may')
    .option('--once', 'a sign-in link for a browser instead; works once, within 15 minutes')
    .description('make a token; its secret is shown this one time')
    .action(async (options: NewToken, command: Command) => {
      const { client, json } = sessionOf(command);
      const { role, name, once = false, scope } = options;
      const made = await client.post<{ id: string; token: string }>('/tokens', {
        kind: once ? 'once' : 'bearer',
        role,
        name,
        expiresInDays: once ? undefined : daysOf(options),
        scopes: scope,
      });
      if (json) return printJson(made);
      line(once ? `${findTarget().url}/#once=${made.token}` : made.token);
    });

  tokens
    .command('list')
    .description('your tokens, sign-in links and sessions')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Token>('/tokens', {}, 1000);
      if (json) return printJson(page);
      const { tokenId } = await client.get<{ tokenId: string }>('/me');
      line(
        table(page.items, [
          ['TOKEN', (token) => token.id],
          ['KIND', (token) => token.kind],
          ['ROLE', (token) => token.role],
          ['NAME', (token) => token.name],
          ['SERVICE', (token) => token.service ?? ''],
          ['SCOPES', (token) => token.scopes?.join(' ') ?? ''],
          ['MADE', (token) => ago(token.createdAt)],
          ['USED', (token) => ago(token.usedAt)],
          ['STATE', (token) => (token.id === tokenId ? 'this one' : stateOf(token))],
        ]),
      );
    });

  tokens
    .command('revoke')
    .argument('<token>', 'id of the token')
    .description('a token opens nothing from now on')
    .action(async (id: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm(`Revoke ${id}?`, session))) return;
      await session.client.delete(`/tokens/${encodeURIComponent(id)}`);
      if (session.json) printJson({ id, revoked: true });
      else line(`${good('✔')} revoked ${id}`);
    });

  program
    .command('worker')
    .requiredOption('--machine <id>', 'a machine of fleet.yaml')
    .description('work as that machine, with DATABASE_URL, REDIS_URL and TEMPORAL_ADDRESS')
    .action(({ machine }: { machine: string }) => runWorker(machine));
}

function stateOf({ revokedAt, expiresAt }: Token): string {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'valid';
  return Date.parse(expiresAt) < Date.now() ? 'expired' : `until ${expiresAt.slice(0, 10)}`;
}

/** The worker is a process of its own, as everywhere; its end is ours. */
function runWorker(machine: string): Promise<void> {
  const main = fileURLToPath(new URL('../../workers/main.ts', import.meta.url));
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, '--machine', machine], { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) return resolve();
      const how = signal === null ? `with code ${code}` : `by ${signal}`;
      reject(
        new CommandFailure(`the worker of ${machine} ended ${how}`, {
          exitCode: code === 2 ? exitCodes.badInput : exitCodes.failed,
        }),
      );
    });
  });
}
