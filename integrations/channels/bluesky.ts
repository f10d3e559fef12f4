import { z } from 'zod';
import { byteCount, cutText, graphemeCount, plainPost } from '../../domain/channel-texts.ts';
import { type Asked, fieldsOf, listOf, NotReady, textOf, unpublished, waitAfter } from './asking.ts';
import { collection, openBlueskySession, recordKey, sessionOf } from './bluesky-session.ts';
import type { ChannelKind, PostAnswer, Reply } from './channel.ts';
import { serverAddress } from './server-address.ts';

const settings = z.strictObject({
  server: serverAddress('https://bsky.social'),
  handle: z
    .string()
    .max(253)
    .regex(/^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]+$/i, 'must be a handle such as harbour.bsky.social'),
  language: z
    .string()
    .regex(/^[a-z]{2,3}$/, 'must be a language code such as en')
    .optional(),
});
const secrets = z.strictObject({
  appPassword: z.string().regex(/^[\x21-\x7e]{8,100}$/, 'must be 8 to 100 visible ASCII characters'),
});

const mostGraphemes = 300;
const mostBytes = 3_000;

/** A record under a key of our own: there is one at most, and it can be asked for. */
export const bluesky: ChannelKind<z.output<typeof settings>, z.output<typeof secrets>> = {
  settings,
  secrets,
  addresses: ({ server }) => ({ server }),
  destination: ({ server, handle }) => `${server}/${handle}`,
  // Without facets no name in it is a mention.
  text: (words) =>
    cutText(plainPost(words), (text) => graphemeCount(text) <= mostGraphemes && byteCount(text) <= mostBytes),
  prepare: openBlueskySession,

  async post({ settings: { server, language }, session, ask }, { text, key, at, attempt }) {
    const { accessJwt, did } = sessionOf(session)!;
    const headers = { authorization: `Bearer ${accessJwt}` };
    const rkey = recordKey(key, at);
    const find = () =>
      ask({
        url: `${server}/xrpc/com.atproto.repo.getRecord?${new URLSearchParams({ repo: did, collection, rkey }).toString()}`,
        headers,
      });
    const published = (asked: Asked): PostAnswer => ({
      outcome: 'published',
      reason: '',
      status: 200,
      remoteId: `at://${did}/${collection}/${rkey}`,
      url: `https://bsky.app/profile/${did}/post/${rkey}`,
      waitSeconds: asked.kind === 'reply' ? waitAfter(asked) : undefined,
    });
    if (attempt > 1) {
      const there = await find();
      if (isRecord(there)) return published(there);
    }
    const record = {
      $type: collection,
      text,
      createdAt: at,
      ...(language === undefined ? {} : { langs: [language] }),
    };
    const asked = await ask({
      url: `${server}/xrpc/com.atproto.repo.createRecord`,
      json: { repo: did, collection, rkey, record },
      headers,
    });
    if (asked.kind === 'reply' && asked.status === 200) return published(asked);
    const answer = unpublished(asked);
    if (asked.kind !== 'reply' || asked.status === 429) return answer;
    // That the key is taken is told as an error like others: only the record itself says that it is there.
    const there = await find();
    if (isRecord(there)) return published(there);
    if (asked.status === 401 || textOf(fieldsOf(asked.json)['error']) === 'ExpiredToken')
      return { ...answer, outcome: 'deferred' };
    return answer;
  },

  async replies({ settings: { server }, session, ask }, remoteId) {
    const { accessJwt } = sessionOf(session)!;
    const query = new URLSearchParams({ uri: remoteId, depth: '1', parentHeight: '0' }).toString();
    const asked = await ask({
      url: `${server}/xrpc/app.bsky.feed.getPostThread?${query}`,
      headers: { authorization: `Bearer ${accessJwt}` },
    });
    if (asked.kind !== 'reply' || asked.status !== 200)
      throw new NotReady('the replies', unpublished(asked, { stopOn: [401, 403] }));
    return listOf(fieldsOf(fieldsOf(asked.json)['thread'])['replies']).flatMap((one): Reply[] => {
      const said = fieldsOf(one['post']);
      const record = fieldsOf(said['record']);
      const id = textOf(said['uri']);
      if (id === undefined) return [];
      const author = textOf(fieldsOf(said['author'])['handle']) ?? 'somebody';
      return [{ id, author, text: textOf(record['text']) ?? '', at: textOf(record['createdAt']) ?? '' }];
    });
  },
};

function isRecord(asked: Asked): boolean {
  return asked.kind === 'reply' && asked.status === 200 && textOf(fieldsOf(asked.json)['uri']) !== undefined;
}
