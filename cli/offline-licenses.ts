import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { idSchema } from '../domain/ids.ts';
import { signingKeyIdSchema } from '../domain/signing-keys.ts';
import { openVerifier, type Revocations, type Verdict, type Verifier } from '../verifier/index.js';
import { badInput, CommandFailure, exitCodes } from './failures.ts';
import { lastSeen, lastSeenFile, noteSeen } from './last-seen.ts';
import { warn } from './output.ts';
import { issuerOf, keysFor, type PinnedKey, pinFile } from './pinned-keys.ts';

export interface VerifyOptions {
  /** Key file in place of what is pinned. */
  keys?: string;
  /** Whose license it must be. Default: the one whose keys are pinned. */
  issuer?: string;
  revocations?: string;
  package?: string;
  place?: string;
  commercial?: boolean;
}

/**
 * Verifies a license file with pinned keys, by files alone: no server is asked. When that was is kept, so that a clock that is set
 * back is found the next time.
 * @throws bad input for a file that cannot be read, and where it is not said whose license it must be · the code of a list that does not hold
 */
export async function verifyFile(file: string, options: VerifyOptions): Promise<Verdict> {
  const text = contentOf(file);
  const list = options.revocations === undefined ? undefined : contentOf(options.revocations);
  const keys = trustedKeys(options.keys, text);
  const verifier = await verifierOf(keys, options.keys ?? pinFile());
  const { package: wanted, place, commercial, issuer = issuerOf(keys) } = options;
  const [now, knownTime] = [Date.now(), lastSeen()];
  const verdict = await verifier.verify(text, {
    now,
    knownTime,
    ...(issuer === undefined ? {} : { issuer }),
    ...(wanted === undefined ? {} : { package: wanted }),
    ...(place === undefined ? {} : { place }),
    ...(commercial === undefined ? {} : { commercial }),
    ...(list === undefined ? {} : { revocations: await listIn(list, verifier, { now, file: options.revocations! }) }),
  });
  if (verdict.code === 'KEY_UNKNOWN') {
    throw new CommandFailure(`${file} does not hold: ${verdict.explanation}`, {
      exitCode: exitCodes.failed,
      code: verdict.code,
      mend: pinningOf(text),
    });
  }
  if (verdict.code === 'CLOCK_SET_BACK' && now < knownTime) {
    throw new CommandFailure(`${file} does not hold: ${verdict.explanation}`, {
      exitCode: exitCodes.failed,
      code: verdict.code,
      mend: `Set the clock right. Where it once stood ahead, so that ${new Date(knownTime).toISOString()} never was, remove ${lastSeenFile()}.`,
    });
  }
  try {
    noteSeen(now);
  } catch (err) {
    const why = err instanceof Error ? err.message : String(err);
    process.stderr.write(
      `${warn(`WARNING: a clock that is set back would not be found, the time was not kept: ${why}`)}\n`,
    );
  }
  return verdict;
}

/** A list that is over its time or of the future is judged with the license, since what it revokes stays revoked. */
async function listIn(
  text: string,
  verifier: Verifier,
  { now, file }: { now: number; file: string },
): Promise<Revocations> {
  const list = await verifier.revocations(text, { now });
  const { code, holds, explanation } = list;
  if (holds || code === 'REVOCATIONS_STALE' || code === 'CLOCK_SET_BACK') return list;
  throw new CommandFailure(`${file} is no revocation list to go by: ${explanation}`, {
    exitCode: exitCodes.failed,
    code,
  });
}

/** Whose key is lacking is what the file says of itself: nothing of it is proven. */
function pinningOf(text: string): string {
  const { issuer, keyId } = claimsOf(text);
  if (issuer === undefined || keyId === undefined) return 'Pin the issuer’s keys: `soulfra keys pin --issuer USER`.';
  return `It says that it is of ${issuer}, by ${keyId}. Where that is whom you trust: \`soulfra keys pin --issuer ${issuer}\`.`;
}

/** Only what looks like ids is shown to who may copy the line. */
const claimsSchema = z.object({ issuer: idSchema('user'), keyId: signingKeyIdSchema });

function claimsOf(text: string): Partial<z.infer<typeof claimsSchema>> {
  try {
    const content: unknown = JSON.parse(Buffer.from(text.split('.').at(-2) ?? '', 'base64url').toString('utf8'));
    return claimsSchema.parse(content);
  } catch {
    return {};
  }
}

function trustedKeys(file: string | undefined, text: string): PinnedKey[] {
  const keys = keysFor('licenses', { file });
  if (keys.length > 0) return keys;
  if (file !== undefined) throw badInput(`${file} holds no keys`, 'Make it with `soulfra keys export`.');
  throw badInput('no key is pinned, so nothing can be trusted', pinningOf(text));
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
