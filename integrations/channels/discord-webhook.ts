import { z } from 'zod';
import { fieldsOf, textOf, waitAfter } from './asking.ts';
import type { ChannelKind } from './channel.ts';
import { discordSafety, discordText, discordUnpublished } from './discord-text.ts';
import { postAddress } from './server-address.ts';

const settings = z.strictObject({});
const secrets = z.strictObject({
  url: postAddress.refine(
    (text) => /\/api(?:\/v\d+)?\/webhooks\/\d{1,20}\/[\w-]{1,100}$/.test(new URL(text).pathname),
    {
      error: 'must be the address of a webhook of Discord',
      params: { mend: 'Copy it from the settings of the channel: https://discord.com/api/webhooks/…/….' },
    },
  ),
});

/** There is no key: after a post without an answer nobody can know. */
export const discordWebhook: ChannelKind<z.output<typeof settings>, z.output<typeof secrets>> = {
  settings,
  secrets,
  addresses: (_settings, { url }) => ({ 'secrets.url': url }),
  destination: (_settings, { url }) => new URL(url).pathname,
  text: discordText,

  async post({ secrets: { url }, ask }, { text }) {
    const at = new URL(url);
    // The answer is then the message, and not only that it was heard.
    at.searchParams.set('wait', 'true');
    const asked = await ask({ url: at.href, json: { content: text, ...discordSafety } });
    if (asked.kind !== 'reply' || asked.status !== 200) return discordUnpublished(asked);
    return {
      outcome: 'published',
      reason: '',
      status: asked.status,
      remoteId: textOf(fieldsOf(asked.json)['id']),
      waitSeconds: waitAfter(asked),
    };
  },
};
