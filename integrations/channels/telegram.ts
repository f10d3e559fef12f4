import { z } from 'zod';
import { cutText, plainPost, withoutMentions } from '../../domain/channel-texts.ts';
import { fieldsOf, textOf, unpublished, waitAfter } from './asking.ts';
import type { ChannelKind } from './channel.ts';
import { serverAddress } from './server-address.ts';

const settings = z.strictObject({
  server: serverAddress('https://api.telegram.org'),
  chatId: z
    .string()
    .regex(/^(?:-?\d{1,20}|@[A-Za-z]\w{3,31})$/, 'must be the number of a chat, or @ and the name of a channel'),
});
const secrets = z.strictObject({
  botToken: z.string().regex(/^\d{1,20}:[\w-]{10,100}$/, 'must be a bot token, such as 123456:ABC…'),
});

/** Counted in UTF-16 units after entities; ours are words without any. */
const mostUnits = 4_096;

/** Bots cannot give a message an id of their own: after a post without an answer nobody can know. */
export const telegram: ChannelKind<z.output<typeof settings>, z.output<typeof secrets>> = {
  settings,
  secrets,
  addresses: ({ server }) => ({ server }),
  destination: ({ server, chatId }) => `${server}/${chatId}`,
  text: (words) => cutText(withoutMentions(plainPost(words)), (text) => text.length <= mostUnits),

  async post({ settings: { server, chatId }, secrets: { botToken }, ask }, { text }) {
    const asked = await ask({
      url: `${server}/bot${botToken}/sendMessage`,
      json: { chat_id: chatId, text, link_preview_options: { is_disabled: true } },
    });
    const body = asked.kind === 'reply' ? fieldsOf(asked.json) : {};
    if (asked.kind !== 'reply' || asked.status !== 200 || body['ok'] !== true)
      return unpublished(asked, { stopOn: [401, 403, 404] });
    const message = fieldsOf(body['result']);
    const name = textOf(fieldsOf(message['chat'])['username']);
    const number = typeof message['message_id'] === 'number' ? String(message['message_id']) : undefined;
    return {
      outcome: 'published',
      reason: '',
      status: 200,
      remoteId: number,
      url: name === undefined || number === undefined ? undefined : `https://t.me/${name}/${number}`,
      waitSeconds: waitAfter(asked),
    };
  },
};
