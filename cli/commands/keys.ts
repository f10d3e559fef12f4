import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Client } from '../client.ts';
import { badInput } from '../failures.ts';
import { ago, confirm, good, line, printJson, table } from '../output.ts';
import { keyFileText, type PinnedKey, pinFile, readKeyFile, writePins } from '../pinned-keys.ts';
import { outputOf, sessionOf } from '../program.ts';

type Key = PinnedKey & { madeAt: string; retiredAt: string | null };
const most = 1000;

export function keyCommands(program: Command): void {
  const keys = program.command('keys').description('keys that licenses and loop packages are signed with');

  keys
    .command('list')
    .option('--issuer <user>', 'only those of this user')
    .description('public keys; a retired one only verifies')
    .action(async ({ issuer }: { issuer?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Key>('/signing-keys', { issuer }, most);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['KEY', (key) => key.keyId],
          ['ISSUER', (key) => key.issuer],
          ['MADE', (key) => ago(key.madeAt)],
          ['RETIRED', (key) => ago(key.retiredAt)],
          ['PUBLIC KEY', (key) => key.publicKey],
        ]),
      );
    });

  keys
    .command('rotate')
    .option('--dry-run', 'check only')
    .description('a new key signs from now on; the old one goes on verifying')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const { client, json } = session;
      const { userId } = await client.get<{ userId: string }>('/me');
      const retires = (await keysOf(client, userId)).find((key) => key.retiredAt === null)?.keyId ?? null;
      const question = `Retire ${retires ?? 'no key'}? Who pins keys must pin the new one, too.`;
      if (!dryRun && !(await confirm(question, session))) return;
      const answer = await client.post<{ keyId: string; would?: string }>(
        '/signing-keys/rotate',
        { retires },
        { dryRun },
      );
      if (json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} ${answer.keyId} signs from now on` : `would ${answer.would}`);
    });

  keys
    .command('export')
    .option('--issuer <user>', 'only those of this user')
    .option('-o, --output <file>', 'default: the standard output')
    .description('public keys as a file that `soulfra keys pin` and verifiers take')
    .action(async ({ issuer, output }: { issuer?: string; output?: string }, command: Command) => {
      const text = keyFileText(await keysOf(sessionOf(command).client, issuer));
      if (output === undefined) process.stdout.write(text);
      else writeFileSync(output, text);
    });

  keys
    .command('pin')
    .argument('[file]', 'made by `soulfra keys export`; default: ask the API')
    .description('trust these keys: `soulfra license verify` takes no others')
    .action(async (file: string | undefined, _options: object, command: Command) => {
      const found = file === undefined ? await keysOf(sessionOf(command).client) : readKeyFile(file);
      if (found === undefined) throw badInput(`there is no ${file}`);
      const pinned = readKeyFile(pinFile()) ?? [];
      const fresh = found.filter(({ keyId }) => !pinned.some((key) => key.keyId === keyId));
      const output = outputOf(command);
      const names = fresh.map(({ keyId, issuer }) => `  ${keyId} of ${issuer}`).join('\n');
      if (fresh.length > 0 && !(await confirm(`Trust what these sign?\n${names}\n`, output))) return;
      writePins([...pinned, ...fresh]);
      if (output.json) return printJson({ pinned: fresh.map(({ keyId }) => keyId) });
      line(`${good('✔')} ${fresh.length} pinned, ${pinned.length} before`);
    });

  keys
    .command('unpin')
    .argument('<key>', 'its id')
    .description('trust it no longer')
    .action((keyId: string, _options: object, command: Command) => {
      const pinned = readKeyFile(pinFile()) ?? [];
      const left = pinned.filter((key) => key.keyId !== keyId);
      if (left.length === pinned.length) throw badInput(`${keyId} is not pinned`);
      writePins(left);
      if (outputOf(command).json) printJson({ unpinned: keyId });
      else line(`${good('✔')} ${keyId} is not trusted any more`);
    });
}

async function keysOf(client: Client, issuer?: string): Promise<Key[]> {
  return (await client.list<Key>('/signing-keys', { issuer }, most)).items;
}
