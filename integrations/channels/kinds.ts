import type { ChannelKindName } from '../../domain/channel-kinds.ts';
import { bluesky } from './bluesky.ts';
import type { ChannelKind } from './channel.ts';
import { discordBot } from './discord-bot.ts';
import { discordWebhook } from './discord-webhook.ts';
import { feed } from './feed.ts';
import { mastodon } from './mastodon.ts';
import { slackWebhook } from './slack-webhook.ts';
import { telegram } from './telegram.ts';
import { webhook } from './webhook.ts';

/** Every kind of the table in domain/channel-kinds.ts; the compiler asks for the one that is missing. */
const kinds = {
  feed,
  webhook,
  discord_webhook: discordWebhook,
  discord_bot: discordBot,
  slack_webhook: slackWebhook,
  telegram,
  mastodon,
  bluesky,
} satisfies Record<ChannelKindName, unknown>;

/** Settings and secrets are of the kind that parsed them: whoever holds a channel has them from its own schema. */
export function channelKind(name: ChannelKindName): ChannelKind {
  return kinds[name] as unknown as ChannelKind;
}
