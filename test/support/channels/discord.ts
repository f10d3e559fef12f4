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

/** `A few minutes`: nobody has said how many. */
const nonceSeconds = 180;

/** Discord's API 10: messages of a bot with nonces, and of webhooks without; buckets of 5 in 5 s and of 30 a minute. */
export function startDiscordDouble({ botToken = 'bot-token', webhook = '123/webhook-token', port = 0 } = {}) {
  const nonces = new Map<string, Posted>();
  const replies: Array<{ to: string; author: string; text: string; bot?: true }> = [];
  const ofBot = createQuota(5, 5);
  const ofWebhook = createQuota(30, 60);

  function handle(request: Received, posts: Posted[]): Replied {
    const isWebhook = /^\/api(?:\/v10)?\/webhooks\//.test(request.path);
    if (isWebhook && !request.path.endsWith(`/webhooks/${webhook}`))
      return { status: 404, body: { message: 'Unknown Webhook', code: 10_015 } };
    if (!isWebhook && !/^\/api\/v10\/channels\/\d+\/messages$/.test(request.path))
      return { status: 404, body: { message: '404: Not Found', code: 0 } };
    if (!isWebhook && request.headers.authorization !== `Bot ${botToken}`)
      return { status: 401, body: { message: '401: Unauthorized', code: 0 } };
    if (!isWebhook && request.method === 'GET') return { status: 200, body: following(request, posts) };
    const { allowed, remaining, resetAt } = (isWebhook ? ofWebhook : ofBot)(request.path, request.at);
    const after = Math.max(0, resetAt - request.at) / 1000;
    const headers = {
      'x-ratelimit-limit': isWebhook ? '30' : '5',
      'x-ratelimit-remaining': String(remaining),
      'x-ratelimit-reset': String(resetAt / 1000),
      'x-ratelimit-reset-after': after.toFixed(3),
      'x-ratelimit-bucket': isWebhook ? 'webhook' : 'messages',
    };
    if (!allowed)
      return {
        status: 429,
        headers: { ...headers, 'retry-after': String(Math.ceil(after)), 'x-ratelimit-scope': 'user' },
        body: { message: 'You are being rate limited.', retry_after: after, global: false },
      };
    return { headers, ...posted(request, posts, isWebhook) };
  }

  /** Messages of the room after one, the newest first. */
  function following(request: Received, posts: Posted[]) {
    const place = posts.findIndex(({ id }) => id === request.query.get('after'));
    const own = posts.slice(place + 1).map(({ id, text }) => messageOf(id, text, { username: 'harbour', bot: true }));
    const others = replies.map((one, i) => ({
      ...messageOf(`9${i}`, one.text, { username: one.author, ...(one.bot === true ? { bot: true } : {}) }),
      message_reference: { message_id: one.to },
    }));
    return [...own, ...others].reverse().slice(0, Number(request.query.get('limit') ?? 50));
  }

  function posted(request: Received, posts: Posted[], isWebhook: boolean): Replied {
    const text = wordOf(request.json['content']);
    const nonce = isWebhook ? '' : wordOf(request.json['nonce']);
    if (text === '' || text.length > 2_000 || nonce.length > 25)
      return { status: 400, body: { message: 'Invalid Form Body', code: 50_035 } };
    const known = nonces.get(nonce);
    const post = !isWebhook && known !== undefined && knows(request) ? known : newPost(request, { key: nonce, text });
    if (post !== known) {
      posts.push(post);
      if (nonce !== '') nonces.set(nonce, post);
    }
    if (isWebhook && request.query.get('wait') !== 'true') return { status: 204, body: '' };
    return { status: 200, body: { id: post.id, content: post.text, nonce, channel_id: '42', type: 0 } };
  }

  /** Whether another that is under way is waited for is not said: taken as if it were not. */
  function knows(request: Received): boolean {
    const known = nonces.get(wordOf(request.json['nonce']));
    if (request.unknown === true || request.json['enforce_nonce'] !== true || known === undefined) return false;
    return request.at - known.at < nonceSeconds * 1000;
  }

  const service: Service = { posting: ({ method }) => method === 'POST', knows, handle };
  return startChannelDouble(service, { port }).then((double) => ({
    ...double,
    botToken,
    webhookUrl: `${double.url}/api/webhooks/${webhook}`,
    /** Somebody, or another program, answers a post. */
    reply: (to: Posted, author: string, text: string, by: { bot?: true } = {}) =>
      replies.push({ to: to.id, author, text, ...by }),
  }));
}

function messageOf(id: string, content: string, author: { username: string; bot?: true }) {
  return { id, content, author, timestamp: new Date().toISOString(), type: 0 };
}
