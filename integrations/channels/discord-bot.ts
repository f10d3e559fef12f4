import { z } from 'zod';
import { fieldsOf, listOf, NotReady, textOf, waitAfter } from './asking.ts';
import type { ChannelKind, Reply } from './channel.ts';
import { discordSafety, discordText, discordUnpublished } from './discord-text.ts';
import { serverAddress, tokenSchema } from './server-address.ts';

const settings = z.strictObject({
  server: serverAddress('https://discord.com'),
  channelId: z.string().regex(/^\d{1,20}$/, 'must be the number of a channel'),
});
const secrets = z.strictObject({ botToken: tokenSchema });

/** A nonce is at most 25 characters: 32 hexadecimal digits in base 36 are 25. */
function nonceOf(key: string): string {
  return BigInt(`0x${key}`).toString(36);
}

/** A message with a nonce that is enforced: for a few minutes a second one under it is the first one. */
export const discordBot: ChannelKind<z.output<typeof settings>, z.output<typeof secrets>> = {
  settings,
  secrets,
  addresses: ({ server }) => ({ server }),
  destination: ({ server, channelId }) => `${server}/${channelId}`,
  text: discordText,

  async post({ settings: { server, channelId }, secrets: { botToken }, ask }, { text, key }) {
    const asked = await ask({
      url: `${server}/api/v10/channels/${channelId}/messages`,
      json: { content: text, nonce: nonceOf(key), enforce_nonce: true, ...discordSafety },
      headers: { authorization: `Bot ${botToken}` },
    });
    if (asked.kind !== 'reply' || asked.status < 200 || asked.status > 299) return discordUnpublished(asked);
    return {
      outcome: 'published',
      reason: '',
      status: asked.status,
      remoteId: textOf(fieldsOf(asked.json)['id']),
      waitSeconds: waitAfter(asked),
    };
  },

  /** Among the hundred messages that follow it; a bot is shown what they say where they answer its own. */
  async replies({ settings: { server, channelId }, secrets: { botToken }, ask }, remoteId) {
    const asked = await ask({
      url: `${server}/api/v10/channels/${channelId}/messages?${new URLSearchParams({ after: remoteId, limit: '100' }).toString()}`,
      headers: { authorization: `Bot ${botToken}` },
    });
    if (asked.kind !== 'reply' || asked.status !== 200) throw new NotReady('the replies', discordUnpublished(asked));
    return listOf(asked.json).flatMap((one): Reply[] => {
      const id = textOf(one['id']);
      const author = fieldsOf(one['author']);
      // Two programs that answer each other would never end.
      if (id === undefined || author['bot'] === true) return [];
      if (fieldsOf(one['message_reference'])['message_id'] !== remoteId) return [];
      const name = textOf(author['username']) ?? 'somebody';
      return [{ id, author: name, text: textOf(one['content']) ?? '', at: textOf(one['timestamp']) ?? '' }];
    });
  },
};
