import { z } from 'zod';

export const passwordLength = { least: 12, most: 128 };

/** Whatever it is typed with, the same letters are the same bytes. */
export function passwordOf(typed: string): string {
  return typed.normalize('NFKC');
}

/** Long is all that is asked: rules of signs and digits make people write them down. */
export const newPasswordSchema = z
  .string()
  .min(passwordLength.least)
  .max(passwordLength.most)
  .refine((text) => new Set(passwordOf(text)).size >= 5, {
    error: 'must have at least five different characters',
    params: { mend: 'Take some words that do not belong together.' },
  });

/**
 * Tries that were wrong before somebody has to wait, and how long, in seconds: from the first wait on twice as long each time. One is
 * forgotten in so many seconds, or the many people behind one address would lock each other out for good.
 */
const waits = {
  account: { free: 5, first: 30, most: 15 * 60, forgotten: 3600 },
  network: { free: 20, first: 60, most: 60 * 60, forgotten: 600 },
} as const;
export type TriedBy = keyof typeof waits;

/** In which a wrong try is forgotten, one after the other. */
export function forgottenSeconds(by: TriedBy): number {
  return waits[by].forgotten;
}

/** @param failures wrong tries in a row, this one among them. @returns 0: none */
export function waitSeconds(by: TriedBy, failures: number): number {
  const { free, first, most } = waits[by];
  if (failures <= free) return 0;
  // Beyond 2^20 it is the most anyway.
  return Math.min(most, first * 2 ** Math.min(20, failures - free - 1));
}
