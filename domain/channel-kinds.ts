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
  /**
   * Seconds that its service may work on a request whose answer never came. It keeps the key only from when it has finished, so that
   * what is sent again sooner would make a second post. 0: a key counts from the moment the request is there.
   */
  patience: number;
  /** The key is of the post, and not of one asking for it: it stays when a person asks again, and with other secrets. */
  keyOfPost?: true;
  /** Kinds of one service that counts all that comes from us together. */
  service?: string;
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
  feed: { keyLife: 'always', patience: 0, keyOfPost: true, queuePerSecond: 50, spacing: 0 },
  // Senders by Standard Webhooks try for 75 hours, and wait 15 to 30 s for an answer: who keeps ids, keeps them for about as long.
  webhook: { keyLife: 230_400, patience: 30, keyOfPost: true, queuePerSecond: 20, spacing: 0 },
  // 30 a minute for one webhook.
  discord_webhook: { keyLife: 'none', patience: 0, service: 'discord', queuePerSecond: 20, spacing: 2 },
  // `A few minutes` are two at least.
  discord_bot: { keyLife: 120, patience: 30, service: 'discord', queuePerSecond: 20, spacing: 1, replies: true },
  slack_webhook: { keyLife: 'none', patience: 0, queuePerSecond: 20, spacing: 1 },
  // 20 a minute in a group.
  telegram: { keyLife: 'none', patience: 0, queuePerSecond: 20, spacing: 3 },
  // It puts the key down once the post is made; its own proxy gives a request 60 s.
  mastodon: { keyLife: 3_600, patience: 60, queuePerSecond: 20, spacing: 1, replies: true, brief: true },
  // 5,000 points an hour, 3 a post. Its key is the record's own, of which there is one.
  bluesky: {
    keyLife: 'always',
    patience: 0,
    keyOfPost: true,
    queuePerSecond: 20,
    spacing: 2.5,
    replies: true,
    brief: true,
  },
} as const satisfies Record<string, ChannelKindRow>;

export type ChannelKindName = keyof typeof channelKinds;
export const channelKindNames = Object.keys(channelKinds) as [ChannelKindName, ...ChannelKindName[]];

export function channelKindRow(kind: ChannelKindName): ChannelKindRow {
  return channelKinds[kind];
}

/** The kinds that its service counts together with this one. */
export function kindsOfService(kind: ChannelKindName): ChannelKindName[] {
  const { service } = channelKindRow(kind);
  return service === undefined ? [kind] : channelKindNames.filter((name) => channelKindRow(name).service === service);
}
