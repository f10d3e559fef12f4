import type { Random } from '../../domain/random.ts';
import type { Database } from '../../stores/database.ts';
import { channelKindRow } from '../../domain/channel-kinds.ts';
import { startDiscordDouble } from '../../test/support/channels/discord.ts';
import type { Fault, Posted, Received } from '../../test/support/channels/double.ts';
import { startMastodonDouble } from '../../test/support/channels/mastodon.ts';
import { startSlackDouble } from '../../test/support/channels/slack.ts';
import { startWebhookDouble } from '../../test/support/channels/webhook.ts';
import { keptChannel } from '../../test/support/drops.ts';
import { shortWorkMs } from './drop-sabotage.ts';

export type DropServices = Awaited<ReturnType<typeof openDropServices>>;

/** Of each kind that posts at a second's distance several accounts: what is measured is not patience. */
const accounts = 3;

/** Doubles of four services, with their own limits, where posts go wrong at random. */
export async function openDropServices(random: Random, { harsh }: { harsh: boolean }) {
  const several = <Double>(start: () => Promise<Double>) => Promise.all(Array.from({ length: accounts }, start));
  const webhook = await startWebhookDouble();
  const [mastodon, discord, slack] = [
    await several(() => startMastodonDouble()),
    await several(() => startDiscordDouble()),
    await several(() => startSlackDouble()),
  ];
  const all = [webhook, ...mastodon, ...discord, ...slack];
  let faults = 0;
  let slow = 0;
  const share = harsh ? 0.5 : 0.12;
  /** Of what goes to services with keys: they work on it for longer than anybody waits for the answer. */
  const slowShare = harsh ? 0.3 : 0.03;

  function faultOf(kind: 'webhook' | 'mastodon' | 'discord_bot' | undefined): Fault | undefined {
    if (kind !== undefined && random.next() < slowShare) {
      slow += 1;
      return { slowMs: harsh ? shortWorkMs : (channelKindRow(kind).patience - 2) * 1_000 };
    }
    if (random.next() >= share) return undefined;
    faults += 1;
    return random.pick<Fault>([
      'cut_before',
      'cut_after',
      'cut_after',
      'hold',
      { status: 503, body: 'unavailable' },
      { status: 502, headers: { 'retry-after': '1' }, body: 'bad gateway' },
      { status: 429, headers: { 'retry-after': '2' }, body: { retry_after: 1.5 } },
      { status: 429, headers: { 'retry-after': new Date(Date.now() + 2_000).toUTCString() } },
      {
        status: 429,
        headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': new Date(Date.now() + 2_000).toISOString() },
      },
    ]);
  }
  webhook.failBy(() => faultOf('webhook'));
  for (const double of mastodon) double.failBy(() => faultOf('mastodon'));
  for (const double of discord) double.failBy(() => faultOf('discord_bot'));
  for (const double of slack) double.failBy(() => faultOf(undefined));

  return {
    faults: () => faults,
    /** Requests that their service was at work on for long. */
    slow: () => slow,
    posts: (): Posted[] => all.flatMap(({ posts }) => posts),
    /** What was sent to be posted, whatever became of it. */
    sent: (): Received[] => all.flatMap((double) => double.posted()),
    /** The service no longer knows what was posted for this drop by its key. */
    expire(dropId: string): void {
      for (const double of mastodon)
        for (const post of double.posts) if (post.text.includes(dropId)) double.forget(post.key);
    },

    /** Channels to all of them, one kind after the other. */
    async channelsOf(db: Database, ownerId: string): Promise<string[]> {
      const ids: string[] = [];
      const kept = async (channel: Parameters<typeof keptChannel>[2]) =>
        ids.push(await keptChannel(db, ownerId, channel));
      for (let i = 0; i < accounts; i += 1) {
        await kept({
          kind: 'webhook',
          settings: { url: `${webhook.url}/hooks/${i}` },
          secrets: { secret: `whsec_${Buffer.alloc(32, i).toString('base64')}` },
        });
        await kept({
          kind: 'mastodon',
          settings: { server: mastodon[i]!.url },
          secrets: { accessToken: mastodon[i]!.token },
        });
        await kept({
          kind: 'discord_bot',
          settings: { server: discord[i]!.url, channelId: '42' },
          secrets: { botToken: discord[i]!.botToken },
        });
        await kept({ kind: 'slack_webhook', secrets: { url: slack[i]!.webhookUrl } });
      }
      return ids;
    },

    async close(): Promise<void> {
      await Promise.all(all.map((double) => double.close()));
    },
  };
}
