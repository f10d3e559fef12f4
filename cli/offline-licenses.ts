import { readFileSync } from 'node:fs';
import { openVerifier, type Verdict, type Verifier } from '../verifier/index.js';
import { badInput, CommandFailure, exitCodes } from './failures.ts';
import { type PinnedKey, pinFile, readKeyFile } from './pinned-keys.ts';

export interface VerifyOptions {
  /** Key file in place of what is pinned. */
  keys?: string;
  revocations?: string;
  package?: string;
  place?: string;
  commercial?: boolean;
}

/** Verifies a license file with pinned keys, by files alone: no server is asked. @throws bad input for a file that cannot be read */
export async function verifyFile(file: string, options: VerifyOptions): Promise<Verdict> {
  const text = contentOf(file);
  const list = options.revocations === undefined ? undefined : contentOf(options.revocations);
  const verifier = await verifierOf(trustedKeys(options.keys), options.keys ?? pinFile());
  const { package: wanted, place, commercial } = options;
  return verifier.verify(text, {
    ...(wanted === undefined ? {} : { package: wanted }),
    ...(place === undefined ? {} : { place }),
    ...(commercial === undefined ? {} : { commercial }),
    ...(list === undefined ? {} : { revocations: await verifier.revocations(list) }),
  });
}

function trustedKeys(file: string | undefined): PinnedKey[] {
  const keys = readKeyFile(file ?? pinFile());
  if (keys !== undefined && keys.length > 0) return keys;
  if (file !== undefined) throw badInput(`${file} holds no keys`, 'Make it with `soulfra keys export`.');
  throw badInput('no key is pinned, so nothing can be trusted', 'Pin the issuer’s keys: `soulfra keys pin`.');
}

async function verifierOf(keys: PinnedKey[], file: string): Promise<Verifier> {
  try {
    return await openVerifier({ keys });
  } catch (cause) {
    throw new CommandFailure(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      exitCode: exitCodes.badInput,
      code: 'INVALID_INPUT',
      cause,
    });
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    throw badInput(`${file} cannot be read (${(err as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}
