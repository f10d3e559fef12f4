import { z } from 'zod';

/** RFC 5321, 4.5.3.1. */
const mostChars = 254;
const mostLocalChars = 64;

/** `dot-atom` of RFC 5322, 3.2.3: no quoted strings, comments or spaces, which have let header fields through elsewhere. */
const localPart = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** Two labels at least; the last one is no number, so no address of a host either. */
const domainName = new RegExp(`^(?:${label}\\.)+(?!\\d+$)${label}$`);

/**
 * The one spelling of a mail address. Letters are made small on both sides: RFC 5321 lets a server tell `Ada` from `ada`, none
 * that people use does, and two users of one mailbox would be worse.
 * @returns undefined for what is none
 */
export function mailAddressOf(text: string): string | undefined {
  const address = text.toLowerCase();
  const at = address.lastIndexOf('@');
  if (address.length > mostChars || at < 1 || at > mostLocalChars) return undefined;
  return localPart.test(address.slice(0, at)) && domainName.test(address.slice(at + 1)) ? address : undefined;
}

export const mailAddressSchema = z
  .string()
  .max(mostChars)
  .refine((text) => mailAddressOf(text) !== undefined, {
    error: 'must be one mail address, such as ada@example.org',
    params: {
      mend: 'Write the bare address in ASCII, without a name, spaces or quotes; a domain of other letters as `xn--…`.',
    },
  })
  .transform((text) => mailAddressOf(text)!)
  .describe('A bare mail address; upper and lower case are the same');
