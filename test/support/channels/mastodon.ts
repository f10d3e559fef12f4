import {
  createQuota,
  newPost,
  type Posted,
  type Received,
  type Replied,
  type Service,
  startChannelDouble,
  wordOf,
} from './double.ts';

/** Seconds for which an Idempotency-Key is known. */
const mastodonKeySeconds = 3_600;

/** Mastodon 4.x: statuses with keys, 500 characters with addresses counted as 23, 300 requests in 5 minutes. */
export function startMastodonDouble({ token = 'mastodon-token', bot = false, most = 300, port = 0 } = {}) {
  const account = { bot };
  const quota = createQuota(most, 300);
  /** By key: what was made under it, and when. */
  const keys = new Map<string, Posted>();
  const replies: Reply[] = [];

  function handle(request: Received, posts: Posted[]): Replied {
    if (request.path === '/api/v2/instance')
      return {
        status: 200,
        body: { configuration: { statuses: { max_characters: 500, characters_reserved_per_url: 23 } } },
      };
    if (request.headers.authorization !== `Bearer ${token}`)
      return { status: 401, body: { error: 'The access token is invalid' } };
    const { allowed, remaining, resetAt } = quota(token, request.at);
    const headers = {
      'x-ratelimit-limit': String(most),
      'x-ratelimit-remaining': String(remaining),
      'x-ratelimit-reset': new Date(resetAt).toISOString(),
    };
    if (!allowed) return { status: 429, headers, body: { error: 'Too many requests' } };
    return { headers, ...answered(request, posts) };
  }

  function answered(request: Received, posts: Posted[]): Replied {
    const { method, path, json } = request;
    if (path === '/api/v1/accounts/verify_credentials') return { status: 200, body: { id: '1', ...account } };
    if (path === '/api/v1/accounts/update_credentials' && method === 'PATCH') {
      if (typeof json['bot'] === 'boolean') account.bot = json['bot'];
      return { status: 200, body: { id: '1', ...account } };
    }
    const asked = /^\/api\/v1\/statuses\/([^/]+)\/context$/.exec(path)?.[1];
    if (asked !== undefined && !posts.some(({ id }) => id === asked))
      return { status: 404, body: { error: 'Record not found' } };
    if (asked !== undefined)
      return {
        status: 200,
        body: { ancestors: [], descendants: replies.filter((one) => one.to === asked).map(replyOf) },
      };
    if (path !== '/api/v1/statuses' || method !== 'POST') return { status: 404, body: { error: 'Record not found' } };
    const text = wordOf(json['status']);
    const length = [...new Intl.Segmenter().segment(text.replaceAll(/https?:\/\/\S+/g, 'x'.repeat(23)))].length;
    if (text === '' || length > 500)
      return { status: 422, body: { error: 'Validation failed: Text character limit of 500 exceeded' } };
    const key = String(request.headers['idempotency-key'] ?? '');
    const known = keys.get(key);
    const post = known !== undefined && knows(request) ? known : newPost(request, { key, text });
    if (post !== known) {
      posts.push(post);
      if (key !== '') keys.set(key, post);
    }
    return { status: 200, body: statusOf(post) };
  }

  /** The key is put down with the post: one that is at work on it still is not known. */
  function knows(request: Received): boolean {
    const known = keys.get(String(request.headers['idempotency-key'] ?? ''));
    return request.unknown !== true && known !== undefined && request.at - known.at < mastodonKeySeconds * 1000;
  }

  const posting = ({ method, path }: Received) => method === 'POST' && path === '/api/v1/statuses';
  const reading = ({ path }: Received) => path.endsWith('/context');
  const service: Service = { posting, reading, knows, handle };
  return startChannelDouble(service, { port }).then((double) => ({
    ...double,
    token,
    account,
    forget: (key: string) => keys.delete(key),
    /** Somebody answers a post. */
    reply: (to: Posted, author: string, html: string) =>
      replies.push({ id: String(replies.length + 1), to: to.id, author, html, at: Date.now() }),
  }));
}

function statusOf(post: Posted) {
  return {
    id: post.id,
    content: post.text,
    created_at: new Date(post.at).toISOString(),
    url: `https://mastodon.example/@harbour/${post.id}`,
    visibility: 'unlisted',
    account: { id: '1' },
  };
}

interface Reply {
  id: string;
  to: string;
  author: string;
  html: string;
  at: number;
}

function replyOf({ id, to, author, html, at }: Reply) {
  return {
    id: `reply-${id}`,
    in_reply_to_id: to,
    content: `<p>${html}</p>`,
    created_at: new Date(at).toISOString(),
    account: { acct: author },
  };
}
