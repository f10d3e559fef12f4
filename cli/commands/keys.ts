import { writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { SigningKeyState } from '../../domain/signing-keys.ts';
import type { Client } from '../client.ts';
import { badInput } from '../failures.ts';
import { ago, confirm, good, line, plain, printJson, table, warn } from '../output.ts';
import {
  issuerOf,
  keyFileText,
  type PinnedKey,
  pinFile,
  pinPurposes,
  type PinPurpose,
  purposesOf,
  readKeyFile,
  writePins,
} from '../pinned-keys.ts';
import { outputOf, sessionOf } from '../program.ts';

type Key = PinnedKey & { state: SigningKeyState; madeAt: string; signsSince: string | null };
interface Answer {
  keyId: string;
  would?: string;
}

export function keyCommands(program: Command): void {
  const keys = program.command('keys').description('keys that licenses and loop packages are signed with');

  keys
    .command('list')
    .option('--issuer <user>', 'only those of this user')
    .description('public keys; the next one is published before it signs, a retired one only verifies')
    .action(async ({ issuer }: { issuer?: string }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Key>('/signing-keys', { issuer }, Number.POSITIVE_INFINITY);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['KEY', (key) => key.keyId],
          ['ISSUER', (key) => key.issuer],
          ['STATE', (key) => key.state],
          ['MADE', (key) => ago(key.madeAt)],
          ['SIGNS SINCE', (key) => ago(key.signsSince)],
          ['PUBLIC KEY', (key) => key.publicKey],
        ]),
      );
    });

  keys
    .command('prepare')
    .option('--public-key <key>', 'of your next SOULFRA_SIGNING_KEY_FILE: 32 bytes as base64url')
    .option('--dry-run', 'check only')
    .description('publish the next key, so that all who verify pin it before it signs')
    .action(async ({ publicKey, dryRun }: { publicKey?: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const answer = await client.post<Answer>('/signing-keys/next', { publicKey }, { dryRun });
      if (json) return printJson(answer);
      if (answer.would !== undefined) return line(`would ${answer.would}`);
      line(`${good('✔')} ${answer.keyId} is published, and signs nothing yet`);
      line('Let all who verify pin it (`soulfra keys export`); then `soulfra keys rotate`.');
    });

  keys
    .command('rotate')
    .option('--dry-run', 'check only')
    .description('the next key signs from now on, or a new one where none was prepared; the old one goes on verifying')
    .action(async ({ dryRun }: { dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const { client, json } = session;
      const { signing, next } = await ownKeys(client);
      const ahead = next
        ? `${next.keyId} was published ${ago(next.madeAt)}; who has not pinned it by now verifies nothing that it signs.`
        : 'Nobody has pinned the new one yet: without haste, `soulfra keys prepare` first.';
      if (!dryRun && !(await confirm(`Retire ${signing?.keyId ?? 'no key'}? ${ahead}`, session))) return;
      const body = { retires: signing?.keyId ?? null };
      const answer = await client.post<Answer>('/signing-keys/rotate', body, { dryRun });
      if (json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} ${answer.keyId} signs from now on` : `would ${answer.would}`);
    });

  keys
    .command('revoke')
    .argument('<key>', 'its id')
    .requiredOption('--reason <text>', 'why')
    .option('--dry-run', 'check only')
    .description(
      'say that a key of yours leaked: nothing that it signed is taken here any more; rotate first if it signs',
    )
    .action(async (keyId: string, { reason, dryRun }: { reason: string; dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const question = `Revoke ${keyId}? This cannot be undone, and programs that have pinned it must unpin it themselves.`;
      if (!dryRun && !(await confirm(question, session))) return;
      const path = `/signing-keys/${encodeURIComponent(keyId)}/revoke`;
      const answer = await session.client.post<Answer>(path, { reason }, { dryRun });
      if (session.json) return printJson(answer);
      line(answer.would === undefined ? `${good('✔')} ${keyId} is revoked` : `would ${answer.would}`);
    });

  keys
    .command('export')
    .option('--issuer <user>', 'whose; default: your own')
    .option('-o, --output <file>', 'default: the standard output')
    .description('public keys as a file that `soulfra keys pin` and verifiers take; without revoked ones')
    .action(async ({ issuer, output }: { issuer?: string; output?: string }, command: Command) => {
      const text = keyFileText((await keysOf(sessionOf(command).client, issuer)).filter(isTrustworthy));
      if (output === undefined) process.stdout.write(text);
      else writeFileSync(output, text);
    });

  keys
    .command('pin')
    .argument('[file]', 'made by `soulfra keys export`; default: ask the API')
    .option('--issuer <user>', 'whose; default: of a file the one it is of, else your own')
    .addOption(new Option('--for <purpose>', 'what they are trusted to sign; default: both').choices([...pinPurposes]))
    .description('trust these keys: `soulfra license verify` and `soulfra loop verify` take no others')
    .action(async (file: string | undefined, options: { issuer?: string; for?: PinPurpose }, command: Command) => {
      const told = file === undefined ? await keysOf(sessionOf(command).client, options.issuer) : keysIn(file, options);
      const pinned = readKeyFile(pinFile()) ?? [];
      const leaked = told.filter((key) => !isTrustworthy(key) && pinned.some(({ keyId }) => keyId === key.keyId));
      for (const { keyId } of leaked) {
        const mend = `soulfra keys unpin ${keyId}`;
        process.stderr.write(`${warn(`WARNING: ${keyId} is pinned here and was revoked by its owner: ${mend}`)}\n`);
      }
      const wanted: readonly PinPurpose[] = options.for === undefined ? pinPurposes : [options.for];
      const known = (keyId: string) => pinned.find((key) => key.keyId === keyId);
      const fresh = told.filter(isTrustworthy).flatMap((key) => {
        const { for: _told, ...own } = key;
        const before = known(key.keyId);
        const had = before === undefined ? [] : purposesOf(before);
        const all = pinPurposes.filter((purpose) => had.includes(purpose) || wanted.includes(purpose));
        return all.length === had.length ? [] : [{ ...own, for: all }];
      });
      const output = outputOf(command);
      const names = fresh.map((key) => `  ${key.keyId} of ${plain(key.issuer)}: ${key.for.join(', ')}`).join('\n');
      if (fresh.length > 0 && !(await confirm(`Trust what these sign?\n${names}\n`, output))) return;
      writePins([...pinned.filter(({ keyId }) => !fresh.some((key) => key.keyId === keyId)), ...fresh]);
      if (output.json) return printJson({ pinned: fresh.map(({ keyId }) => keyId) });
      line(`${good('✔')} ${fresh.length} pinned${fresh.length === 0 ? '' : `:\n${names}`}`);
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

/** Files of before know no states; what leaked is never pinned anew. */
function isTrustworthy(key: PinnedKey): boolean {
  return key['state'] !== ('revoked' satisfies SigningKeyState);
}

async function ownKeys(client: Client): Promise<{ signing: Key | undefined; next: Key | undefined }> {
  const keys = await keysOf(client, undefined);
  const inState = (state: SigningKeyState) => keys.find((key) => key.state === state);
  return { signing: inState('signing'), next: inState('next') };
}

/** All of one issuer, revoked and retired ones among them; of nobody named, the caller's own. */
async function keysOf(client: Client, named: string | undefined): Promise<Key[]> {
  const issuer = named ?? (await client.get<{ userId: string }>('/me')).userId;
  return (await client.list<Key>('/signing-keys', { issuer }, Number.POSITIVE_INFINITY)).items;
}

/** Keys of a file, of one issuer. */
function keysIn(file: string, { issuer }: { issuer?: string }): PinnedKey[] {
  const keys = readKeyFile(file);
  if (keys === undefined) throw badInput(`there is no ${file}`);
  const whose = issuer ?? issuerOf(keys);
  return keys.filter((key) => key.issuer === whose);
}
