import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { cliEnvironment } from '../config/environment.ts';
import { hostCrypto } from '../config/host-crypto.ts';
import { signingKeyIdOf, signingKeyIdSchema } from '../domain/signing-keys.ts';
import { badInput } from './failures.ts';

/** What a key may be pinned for: who may license is not by that who may make agents here. */
export const pinPurposes = ['licenses', 'packages'] as const;
export type PinPurpose = (typeof pinPurposes)[number];

const keySchema = z.looseObject({
  keyId: signingKeyIdSchema,
  issuer: z.string().min(1),
  algorithm: z.literal('Ed25519'),
  publicKey: z.string().regex(/^[\w-]{43}$/, 'must be 32 bytes as base64url'),
  /** Absent: for both, as in a file of `soulfra keys export`. */
  for: z.array(z.enum(pinPurposes)).optional(),
});
const fileSchema = z.looseObject({ keys: z.array(keySchema) });

/** A public key that a person has decided to trust. */
export type PinnedKey = z.infer<typeof keySchema>;

/** Where `soulfra keys pin` keeps them. */
export function pinFile(): string {
  return join(resolve(cliEnvironment().home), 'pinned-keys.json');
}

/**
 * Keys of a file (default: those that are pinned) that are trusted for this purpose; of one issuer where one is named.
 * @throws bad input where a named file is not there
 */
export function keysFor(
  purpose: PinPurpose,
  { file, issuer }: { file?: string | undefined; issuer?: string | undefined },
): PinnedKey[] {
  const keys = readKeyFile(file ?? pinFile());
  if (keys === undefined && file !== undefined) throw badInput(`there is no ${file}`);
  return (keys ?? []).filter(
    (key) => purposesOf(key).includes(purpose) && (issuer === undefined || key.issuer === issuer),
  );
}

export function purposesOf(key: PinnedKey): readonly PinPurpose[] {
  return key.for ?? pinPurposes;
}

/** The one whose keys these are. @throws bad input where they are of several: whom to trust is for a person to say */
export function issuerOf(keys: readonly PinnedKey[]): string | undefined {
  const [issuer, ...more] = new Set(keys.map((key) => key.issuer));
  if (more.length === 0) return issuer;
  throw badInput(`there are keys of ${[issuer, ...more].join(', ')}`, 'Say whose you mean: --issuer USER.');
}

/** The text of a key file; the same text for the same keys. */
export function keyFileText(keys: readonly PinnedKey[]): string {
  const sorted = keys.toSorted((a, b) => (a.keyId < b.keyId ? -1 : 1));
  return `${JSON.stringify({ format: 'soulfra-keys-1', keys: sorted }, null, 2)}\n`;
}

/** @returns undefined where there is no such file. @throws bad input where it holds something else than keys */
export function readKeyFile(file: string): PinnedKey[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw badInput(`${file} cannot be read (${code ?? 'unknown'})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badInput(`${file} is not JSON`, 'Make it with `soulfra keys export`.');
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) throw badInput(`${file} holds no keys`, 'Make it with `soulfra keys export`.');
  for (const key of parsed.data.keys) refuseMisnamed(key, file);
  return parsed.data.keys;
}

/** The id is made from the key: one under another's id would be trusted in its place. */
function refuseMisnamed({ keyId, publicKey }: PinnedKey, file: string): void {
  const id = signingKeyIdOf(Buffer.from(publicKey, 'base64url'), hostCrypto.sha256);
  if (keyId !== id) throw badInput(`${file}: ${keyId} is not the id of its key`);
}

/** Whole or not at all. */
export function writePins(keys: readonly PinnedKey[]): void {
  const file = pinFile();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, keyFileText(keys));
  renameSync(`${file}.part`, file);
}
