import { z } from 'zod';
import { cutText, graphemeCount, plainPost, withoutMentions } from '../../domain/channel-texts.ts';
import { DomainError } from '../../domain/errors.ts';
import { plainText } from '../sources/plain-text.ts';
import { type Asked, fieldsOf, listOf, NotReady, textOf, unpublished, waitAfter } from './asking.ts';
import type { ChannelAt, ChannelKind, Reply } from './channel.ts';
import { serverAddress, tokenSchema } from './server-address.ts';

const settings = z.strictObject({
  server: serverAddress(),
  visibility: z.enum(['public', 'unlisted', 'private']).default('unlisted'),
  language: z
    .string()
    .regex(/^[a-z]{2,3}$/, 'must be a language code such as en')
    .optional(),
});
const secrets = z.strictObject({ accessToken: tokenSchema });
type Settings = z.output<typeof settings>;
type Secrets = z.output<typeof secrets>;

/** What its server has said of itself and of the account; read anew each day. */
const sessionSchema = z.object({
  characters: z.int().min(1),
  urlCharacters: z.int().min(1),
  readAt: z.number(),
});
type Session = z.infer<typeof sessionSchema>;

/** The token is no more, or may not post. */
const refusals = [401, 403] as const;
const rereadMs = 86_400_000;
const urls = /https?:\/\/\S+/giu;

function sessionOf(text: string | undefined): Session | undefined {
  if (text === undefined) return undefined;
  const parsed = sessionSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : undefined;
}

/** Signs that a reader sees, every address as long as the server counts it. */
function lengthOf(text: string, urlCharacters: number): number {
  const addresses = text.match(urls)?.length ?? 0;
  return graphemeCount(text.replaceAll(urls, '')) + addresses * urlCharacters;
}

/** A status under an Idempotency-Key, which its server keeps for an hour. */
export const mastodon: ChannelKind<Settings, Secrets> = {
  settings,
  secrets,
  addresses: ({ server }) => ({ server }),
  destination: ({ server }, { accessToken }) => `${server}/${accessToken}`,

  text(words, _settings, session) {
    const { characters, urlCharacters } = sessionOf(session) ?? { characters: 500, urlCharacters: 23 };
    return cutText(withoutMentions(plainPost(words)), (text) => lengthOf(text, urlCharacters) <= characters);
  },

  async prepare(at) {
    const known = sessionOf(at.session);
    if (known !== undefined && Date.now() - known.readAt < rereadMs) return at.session;
    const instance = fieldsOf(read(await at.ask({ url: `${at.settings.server}/api/v2/instance` }), 'its limits'));
    await saidToBeBot(at);
    const statuses = fieldsOf(fieldsOf(instance['configuration'])['statuses']);
    const parsed = sessionSchema.safeParse({
      characters: statuses['max_characters'] ?? 500,
      urlCharacters: statuses['characters_reserved_per_url'] ?? 23,
      readAt: Date.now(),
    });
    if (!parsed.success)
      throw new DomainError('REMOTE_FAILED', 'it tells limits that are none', { cause: parsed.error });
    return JSON.stringify(parsed.data);
  },

  async post({ settings: { server, visibility, language }, secrets: { accessToken }, ask }, { text, key }) {
    const asked = await ask({
      url: `${server}/api/v1/statuses`,
      json: { status: text, visibility, ...(language === undefined ? {} : { language }) },
      headers: { authorization: `Bearer ${accessToken}`, 'idempotency-key': key },
    });
    if (asked.kind !== 'reply' || asked.status !== 200) return unpublished(asked, { stopOn: refusals });
    const status = fieldsOf(asked.json);
    return {
      outcome: 'published',
      reason: '',
      status: asked.status,
      remoteId: textOf(status['id']),
      url: textOf(status['url']),
      waitSeconds: waitAfter(asked),
    };
  },

  async replies({ settings: { server }, secrets: { accessToken }, ask }, remoteId) {
    const asked = await ask({
      url: `${server}/api/v1/statuses/${encodeURIComponent(remoteId)}/context`,
      headers: { authorization: `Bearer ${accessToken}` },
    });
    return listOf(fieldsOf(read(asked, 'the replies'))['descendants']).flatMap((one): Reply[] => {
      const id = textOf(one['id']);
      // Only what answers the post itself: what others say to each other is theirs.
      if (id === undefined || one['in_reply_to_id'] !== remoteId) return [];
      const author = textOf(fieldsOf(one['account'])['acct']) ?? 'somebody';
      return [{ id, author, text: plainText(textOf(one['content']) ?? ''), at: textOf(one['created_at']) ?? '' }];
    });
  },
};

/** The account says that it is a bot before it says anything else. */
async function saidToBeBot({ settings: { server }, secrets: { accessToken }, ask }: ChannelAt<Settings, Secrets>) {
  const headers = { authorization: `Bearer ${accessToken}` };
  const account = read(await ask({ url: `${server}/api/v1/accounts/verify_credentials`, headers }), 'the account');
  if (fieldsOf(account)['bot'] === true) return;
  const changed = await ask({
    url: `${server}/api/v1/accounts/update_credentials`,
    method: 'PATCH',
    json: { bot: true },
    headers,
  });
  if (fieldsOf(read(changed, 'the bot flag'))['bot'] !== true)
    throw new DomainError('REMOTE_FAILED', 'the account does not say that it is a bot; set that in its profile');
}

function read(asked: Asked, what: string): unknown {
  if (asked.kind === 'reply' && asked.status === 200 && asked.json !== undefined) return asked.json;
  throw new NotReady(what, unpublished(asked, { stopOn: refusals }));
}
