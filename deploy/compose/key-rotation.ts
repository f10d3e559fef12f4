import { createHash, randomBytes } from 'node:crypto';
import { chownSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import { keyRingOf, keyRingText, mostRingKeys } from '../../domain/key-ring.ts';
import { readJson, writeDurably } from '../embedded/home.ts';
import type { Owner } from './made-once.ts';

/**
 * Keys of a deployment rotate in two steps, with an apply on every machine after each: first all can open by the new ones, then these
 * seal. So at no moment somebody meets what it cannot open, in whichever order the machines are applied.
 */

/** Files of `secrets/` that hold a ring: the first key seals, all open. */
export const keyRings = ['secret_key', 'webhook_key', 'payload_keys'] as const;
type KeyRing = (typeof keyRings)[number];

/** What changes with a ring, by the names of those that hold more than the one key they were made with; tells nothing of the keys. */
export type RingPrints = ReadonlyMap<string, string>;

/** `spread`: all open by the new keys from now on. `use`: these seal. */
export type RotationStep = 'spread' | 'use';

/** Keys that are spread and do not seal yet. */
type NextKeys = Record<KeyRing, string>;
const nextFile = (folder: string) => join(folder, 'secrets', 'next_keys.json');

/** Whether the step that comes is the second one. */
export const isSpread = (folder: string): boolean => existsSync(nextFile(folder));

/**
 * Does the next step in the folder. Killed at any moment it is done again whole: no key is ever taken out.
 * @throws NOT_FOUND where the folder has no keys; CONFLICT where a ring is full
 */
export function rotateKeys(folder: string, owner: Owner): RotationStep {
  const rings = Object.fromEntries(keyRings.map((name) => [name, readRing(folder, name)])) as Record<KeyRing, string[]>;
  const next = readJson<NextKeys>(nextFile(folder)) ?? begun(folder, rings, owner);
  const lacking = keyRings.filter((name) => !rings[name].includes(next[name]));
  for (const name of lacking) write(folder, name, [...rings[name], next[name]], owner);
  if (lacking.length > 0) return 'spread';
  for (const name of keyRings) {
    const others = rings[name].filter((key) => key !== next[name]);
    if (rings[name][0] !== next[name]) write(folder, name, [next[name], ...others], owner);
  }
  rmSync(nextFile(folder));
  return 'use';
}

function begun(folder: string, rings: Record<KeyRing, string[]>, owner: Owner): NextKeys {
  const full = keyRings.filter((name) => rings[name].length >= mostRingKeys);
  if (full.length > 0)
    throw new DomainError(
      'CONFLICT',
      `${full.map((name) => join(folder, 'secrets', name)).join(', ')} has ${mostRingKeys} keys, and no more may be: take the last out (deploy/runbooks/07-rotate-keys.md)`,
    );
  const next = Object.fromEntries(keyRings.map((name) => [name, randomBytes(32).toString('base64url')])) as NextKeys;
  // Before any of them stands in a ring, so that who goes on knows which are the new ones.
  writeDurably(nextFile(folder), `${JSON.stringify(next)}\n`, 0o600);
  own(nextFile(folder), owner);
  return next;
}

function readRing(folder: string, name: KeyRing): string[] {
  const file = join(folder, 'secrets', name);
  const keys = existsSync(file) ? keyRingOf(readFileSync(file, 'utf8')) : undefined;
  if (keys !== undefined) return keys;
  throw new DomainError(
    'NOT_FOUND',
    `${file} holds no keys: name the folder that \`soulfra deploy init\` made, on the coordinating machine (--out)`,
  );
}

function write(folder: string, name: KeyRing, keys: readonly string[], owner: Owner): void {
  const file = join(folder, 'secrets', name);
  writeDurably(file, `${keyRingText(keys)}\n`, 0o600);
  own(file, owner);
}

function own(file: string, { uid, gid }: Owner): void {
  if (process.getuid?.() === 0) chownSync(file, uid, gid);
}

/** @param given rings that a fleet brings along, which are not in the folder yet */
export function ringPrints(folder: string, given: Readonly<Partial<Record<string, string>>> = {}): RingPrints {
  return new Map(
    keyRings.flatMap((name) => {
      const file = join(folder, 'secrets', name);
      const text = existsSync(file) ? readFileSync(file, 'utf8') : given[name];
      const keys = keyRingOf(text ?? '') ?? [];
      if (keys.length < 2) return [];
      return [[name, createHash('sha256').update('soulfra ring').update(keys.join()).digest('hex').slice(0, 16)]];
    }),
  );
}
