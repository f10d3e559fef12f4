import { z } from 'zod';
import { cutText, plainPost } from '../../domain/channel-texts.ts';
import { unpublished, waitAfter } from './asking.ts';
import type { ChannelKind } from './channel.ts';
import { postAddress } from './server-address.ts';

const settings = z.strictObject({});
const secrets = z.strictObject({ url: postAddress });

const mostUnits = 3_000;

/** So that nothing is a command (`<!channel>`, `<@U123>`) or a link under other words. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** There is no key and no answer but `ok`: after a post without an answer nobody can know. */
export const slackWebhook: ChannelKind<z.output<typeof settings>, z.output<typeof secrets>> = {
  settings,
  secrets,
  addresses: (_settings, { url }) => ({ 'secrets.url': url }),
  destination: (_settings, { url }) => url,
  // Counted as it is sent.
  text: (words) => cutText(plainPost(words), (text) => escaped(text).length <= mostUnits),

  async post({ secrets: { url }, ask }, { text }) {
    const asked = await ask({
      url,
      json: { text: escaped(text), mrkdwn: false, link_names: false, unfurl_links: false, unfurl_media: false },
    });
    if (asked.kind === 'reply' && asked.status === 200 && asked.text.trim() === 'ok')
      return { outcome: 'published', reason: '', status: 200, waitSeconds: waitAfter(asked) };
    if (asked.kind === 'reply' && asked.status === 200)
      return { outcome: 'unknown', reason: 'it answered 200, and not `ok`', status: 200 };
    const answer = unpublished(asked, { stopOn: [403, 404, 410] });
    // The one error of its own that Slack documents as a 5xx.
    return asked.kind === 'reply' && asked.status === 500 && asked.text.trim() === 'rollup_error'
      ? { ...answer, outcome: 'deferred' }
      : answer;
  },
};
