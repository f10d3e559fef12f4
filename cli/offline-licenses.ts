import { readFileSync } from 'node:fs';
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
  const keys = trustedKeys(options.keys);
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

function trustedKeys(file: string | undefined): PinnedKey[] {
  const keys = keysFor('licenses', { file });
  if (keys.length > 0) return keys;
  if (file !== undefined) throw badInput(`${file} holds no keys`, 'Make it with `soulfra keys export`.');
  throw badInput(
    'no key is pinned, so nothing can be trusted',
    'Pin the issuer’s keys: `soulfra keys pin --issuer USER`.',
  );
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
