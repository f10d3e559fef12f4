import { z } from 'zod';

/** The address of a server, without path; whether it may be asked at all is judged where it is known whose it is. */
export function serverAddress(fallback?: string) {
  const schema = z
    .url({ protocol: /^https?$/, error: 'must be an https:// address' })
    .max(300)
    .refine((text) => new URL(text).pathname === '/' && new URL(text).search === '' && new URL(text).hash === '', {
      error: 'must be the server alone, without a path',
      params: { mend: 'Write it such as https://mastodon.example.' },
    })
    .transform((text) => new URL(text).origin);
  return fallback === undefined ? schema : schema.default(fallback);
}

/** An address that posts are sent to. */
export const postAddress = z.url({ protocol: /^https?$/, error: 'must be an https:// address' }).max(2_000);

/** What a service gave out as a token; no spaces or control characters, which could end a header. */
export const tokenSchema = z.string().regex(/^[\x21-\x7e]{1,500}$/, 'must be 1 to 500 visible ASCII characters');
