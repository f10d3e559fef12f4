import { z } from 'zod';
import { cleanText } from '../../domain/clean-text.ts';
import { textSchema } from '../../domain/text.ts';
import type { ChannelKind } from './channel.ts';

export const feedSettings = z.strictObject({
  title: textSchema(200),
  description: z.union([z.literal(''), textSchema(1_000)]).default(''),
  author: z.union([z.literal(''), textSchema(200)]).default(''),
  siteUrl: z
    .url({ protocol: /^https?$/ })
    .max(500)
    .describe('The page that the feed is of'),
  feedUrl: z
    .url({ protocol: /^https?$/ })
    .max(500)
    .optional()
    .describe('Where readers find this feed, if it is known'),
  embeddedBy: z
    .array(
      z
        .url({ protocol: /^https?$/, error: 'must be the origin of a site, such as https://my.blog' })
        .max(200)
        .refine((url) => URL.parse(url)?.origin === url, {
          error: 'must be the origin of a site, such as https://my.blog',
          params: { mend: 'Leave out path, query and the slash at the end.' },
        }),
    )
    .max(20)
    .default([])
    .describe('Sites that may show the narration of this feed in a frame'),
});
export type FeedSettings = z.output<typeof feedSettings>;

/** Atom, RSS and JSON Feed that we serve ourselves (api/routes/feeds.ts): an entry is there once its delivery is. */
export const feed: ChannelKind<FeedSettings, Record<string, never>> = {
  settings: feedSettings,
  secrets: z.strictObject({}),
  addresses: () => ({}),
  destination: (settings) => settings.siteUrl,
  // The title stands beside it.
  text: ({ body }) => cleanText(body),
  post: () => Promise.resolve({ outcome: 'published', reason: '' }),
};
