import type { DropVerdict } from './drop-judge.ts';
import type { Edit, Protection } from './sabotage.ts';

/** Seconds that a service may be at work on a request in a short round, and how long it is. */
const shortPatience = 8;
export const shortWorkMs = (shortPatience - 1) * 1_000;

/** Short rounds wait seconds between attempts where the product waits minutes and hours; what may be sent again is decided as shipped. */
export const quickly: readonly Edit[] = [
  {
    file: 'domain/deliveries.ts',
    from: 'const delays = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000] as const;',
    to: 'const delays = [1, 2, 3, 3, 3, 3, 3, 3] as const;',
  },
  // The services of a short round are at work as much shorter: `shortWorkMs`.
  {
    file: 'domain/deliveries.ts',
    from: 'const { patience } = channelKindRow(kind);',
    to: `const patience = Math.min(channelKindRow(kind).patience, ${shortPatience});`,
  },
];

/** What each protection of a post is in the sources, and which count of the judge it keeps at zero. */
export const dropSabotages: Partial<
  Record<
    Protection,
    { edits: Edit[]; finding: keyof Pick<DropVerdict, 'exactTwice' | 'otherTwice' | 'doubtfulUnlisted'> }
  >
> = {
  // The key is the same at every attempt.
  key: {
    edits: [
      {
        file: 'integrations/channels/posting.ts',
        from: 'const count = channelKindRow(kind).keyOfPost === true ? 0 : again;',
        to: 'const count = `${again}/${Math.random()}`;',
      },
    ],
    finding: 'exactTwice',
  },
  // The attempt of somebody who died is known.
  attempt: {
    edits: [
      {
        file: 'stores/deliveries.ts',
        from: 'const age = open.rows[0]?.age;',
        to: 'const age = [open.rows.length * Number.NaN][1];',
      },
    ],
    finding: 'otherTwice',
  },
  // Without a key nothing is sent again.
  doubt: {
    edits: [
      {
        file: 'domain/deliveries.ts',
        from: "if (typeof keyLife === 'string') return keyLife === 'always';",
        to: "if (typeof keyLife === 'string') return true;",
      },
    ],
    finding: 'otherTwice',
  },
  // A key is used within its life.
  expiry: {
    edits: [
      {
        file: 'domain/deliveries.ts',
        from: 'return secondsSinceDoubt < keyLife - keyMargin(keyLife);',
        to: 'return secondsSinceDoubt < keyLife * keyMargin(keyLife) * 1e6;',
      },
    ],
    finding: 'exactTwice',
  },
  // What its service may still be at work on is not sent again.
  patience: {
    edits: [
      {
        file: 'domain/deliveries.ts',
        from: 'return patience === 0 ? 0 : Math.max(0, leaveWithinSeconds + patience - youngest);',
        to: 'return Math.min(0, leaveWithinSeconds, patience, youngest);',
      },
    ],
    finding: 'exactTwice',
  },
  // What is in doubt is told.
  notice: {
    edits: [
      {
        file: 'stores/delivery-notices.ts',
        from: "if (state !== 'failed' && state !== 'unconfirmed') return;",
        to: 'if (state.length > 0) return;',
      },
    ],
    finding: 'doubtfulUnlisted',
  },
};
