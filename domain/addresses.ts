/**
 * Addresses in what a model writes. One that stands nowhere in what the model was shown was put together by it, and who shows
 * the text as Markdown or makes links of addresses would send what is in it to whoever asked for it in a memory or a message.
 */

/** Stands in place of an address that was taken out. */
const takenOut = '(address removed)';

/** What ends an address; marks of a sentence at its end are no part of it. */
const ends = String.raw`\s"'“”<>)\]…`;
const address = new RegExp(
  String.raw`(?:[a-z][a-z\d+.-]*:\/\/|https?:|\/\/(?=[\w-]+[.:])|www\.|data:[a-z]+\/|javascript:|mailto:)[^${ends}]*[^${ends}.,;:!?]`,
  'giu',
);
/** The end of a text that may yet become an address, or go on with one. */
const mayGoOn = new RegExp(
  String.raw`(?:[a-z][a-z\d+.-]*(?::[^${ends}]*)?|www\.[^${ends}]*|\/(?:\/[^${ends}]*)?)$`,
  'iu',
);

/** Whole, in the order of the text. */
export function addressesIn(text: string): string[] {
  return text.match(address) ?? [];
}

/** The text without addresses that none of the texts shown holds. */
export function withoutStrangeAddresses(text: string, shown: readonly string[]): string {
  return text.replace(address, (found) => (shown.some((held) => held.includes(found)) ? found : takenOut));
}

/** The same for a stream: an address is held back until it is whole, however it is cut into pieces. */
export function createAddressFilter(shown: readonly string[]): { pass(piece: string): string; end(): string } {
  let open = '';
  return {
    pass(piece) {
      const text = open + piece;
      const from = text.search(mayGoOn);
      open = from === -1 ? '' : text.slice(from);
      return withoutStrangeAddresses(from === -1 ? text : text.slice(0, from), shown);
    },
    end() {
      const rest = open;
      open = '';
      return withoutStrangeAddresses(rest, shown);
    },
  };
}
