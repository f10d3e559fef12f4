import { z } from 'zod';
import { byteCount, cutText, plainPost } from '../../domain/channel-texts.ts';
import { newWebhookSecret, signatureOf } from '../standard-webhooks.ts';
import { unpublished, waitAfter } from './asking.ts';
import type { ChannelKind } from './channel.ts';
import { postAddress } from './server-address.ts';

const settings = z.strictObject({ url: postAddress });
const secrets = z.strictObject({
  secret: z.string().regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and 24 to 64 bytes as base64'),
});

/** The specification asks for less than 20 kB of all of it. */
const mostTextBytes = 6_000;

/** A program of the owner's, by Standard Webhooks: the same webhook-id at every attempt, so that who keeps the ids takes it once. */
export const webhook: ChannelKind<z.output<typeof settings>, z.output<typeof secrets>> = {
  settings,
  secrets,
  newSecrets: () => ({ secret: newWebhookSecret() }),
  addresses: ({ url }) => ({ url }),
  destination: ({ url }) => url,
  text: (words) => cutText(plainPost(words), (text) => byteCount(text) <= mostTextBytes),

  async post({ settings: { url }, secrets: { secret }, ask }, post) {
    const { dropId, agentId, title, text, narration, at, key } = post;
    const spoken = cutText(narration, (words) => byteCount(words) <= mostTextBytes);
    const data = { dropId, agentId, title, text, narration: spoken };
    const bytes = Buffer.from(JSON.stringify({ type: 'drop.published', timestamp: at, data }), 'utf8');
    const timestamp = String(Math.floor(Date.now() / 1000));
    const id = `drop_${key}`;
    const asked = await ask({
      url,
      bytes,
      headers: {
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': signatureOf(secret, { id, timestamp, body: bytes }),
      },
    });
    if (asked.kind !== 'reply') return unpublished(asked);
    const { status } = asked;
    if (status >= 200 && status < 300)
      return { outcome: 'published', reason: '', status, remoteId: id, waitSeconds: waitAfter(asked) };
    const answer = unpublished(asked);
    if (status === 410)
      return { ...answer, outcome: 'refused', reason: 'it answered 410: it wants no more', stopChannel: true };
    // Whatever else is no 2xx was not taken, by the specification.
    return { ...answer, outcome: 'deferred' };
  },
};
