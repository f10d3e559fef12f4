/**
 * The kinds of channels there are. One is added by a row here and a file in integrations/channels. The figures are those of
 * the services' own documents, or below them where these say less than a number; docs/channels.md names them.
 */
export interface ChannelKindRow {
  /**
   * Seconds for which a second request under the same key makes no second post. `always`: it never does. `none`: there is no
   * key, so that after a send without an answer nobody can know.
   */
  keyLife: number | 'always' | 'none';
  /** Posts a second of the whole kind, over all workers: kept by Temporal's server. */
  queuePerSecond: number;
  /** Seconds between two posts to one destination: kept in Postgres. */
  spacing: number;
  /** Its service tells what others replied. */
  replies?: true;
  /** Little fits: composed drops have a text of their own for it. */
  brief?: true;
}

export const channelKinds = {
  feed: { keyLife: 'always', queuePerSecond: 50, spacing: 0 },
  webhook: { keyLife: 'always', queuePerSecond: 20, spacing: 0 },
  // 30 a minute for one webhook.
  discord_webhook: { keyLife: 'none', queuePerSecond: 20, spacing: 2 },
  // `A few minutes` are two at least.
  discord_bot: { keyLife: 120, queuePerSecond: 20, spacing: 1, replies: true },
  slack_webhook: { keyLife: 'none', queuePerSecond: 20, spacing: 1 },
  // 20 a minute in a group.
  telegram: { keyLife: 'none', queuePerSecond: 20, spacing: 3 },
  mastodon: { keyLife: 3_600, queuePerSecond: 20, spacing: 1, replies: true, brief: true },
  // 5,000 points an hour, 3 a post.
  bluesky: { keyLife: 'always', queuePerSecond: 20, spacing: 2.5, replies: true, brief: true },
} as const satisfies Record<string, ChannelKindRow>;

export type ChannelKindName = keyof typeof channelKinds;
export const channelKindNames = Object.keys(channelKinds) as [ChannelKindName, ...ChannelKindName[]];

export function channelKindRow(kind: ChannelKindName): ChannelKindRow {
  return channelKinds[kind];
}
