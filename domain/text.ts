import { z } from 'zod';

/**
 * Text that Postgres can hold and that comes back as it was sent: no NUL, no half of a surrogate pair; with something in
 * it that a person can see, not spaces, line ends and invisible marks alone.
 */
export function textSchema(most: number) {
  return z
    .string()
    .min(1)
    .max(most)
    .refine((text) => !text.includes('\0') && text.isWellFormed(), {
      error: 'must not hold NUL or broken Unicode',
      params: { mend: 'Remove these characters.' },
    })
    .refine((text) => /[^\s\p{Cc}\p{Cf}]/u.test(text), {
      error: 'must not be blank',
      params: { mend: 'Say something.' },
    });
}
