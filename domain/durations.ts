import { z } from 'zod';

/** `30m`, `6h`, `1d`: the text of a cadence is also the name of its Schedule. */
export const durationSchema = z.string().regex(/^[1-9]\d{0,4}[smhd]$/, 'must be a number and s, m, h or d, such as 6h');

export function durationSeconds(duration: string): number {
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[duration.at(-1) as 's' | 'm' | 'h' | 'd'];
  return Number(duration.slice(0, -1)) * unit;
}
