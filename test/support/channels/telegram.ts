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

/** The Bot API: sendMessage, 4096 units after entities, 20 messages a minute in a group; no key of any kind. */
export function startTelegramDouble({ token = '123456:telegram-token', port = 0 } = {}) {
  const quota = createQuota(20, 60);
  let count = 0;

  function handle(request: Received, posts: Posted[]): Replied {
    if (!request.path.startsWith(`/bot${token}/`))
      return { status: 401, body: { ok: false, error_code: 401, description: 'Unauthorized' } };
    if (!request.path.endsWith('/sendMessage'))
      return { status: 404, body: { ok: false, error_code: 404, description: 'Not Found' } };
    const chat = wordOf(request.json['chat_id']);
    const { allowed, resetAt } = quota(chat, request.at);
    if (!allowed) {
      const seconds = Math.ceil((resetAt - request.at) / 1000);
      const description = `Too Many Requests: retry after ${seconds}`;
      return { status: 429, body: { ok: false, error_code: 429, description, parameters: { retry_after: seconds } } };
    }
    const text = wordOf(request.json['text']);
    if (text === '' || text.length > 4_096)
      return { status: 400, body: { ok: false, error_code: 400, description: 'Bad Request: message is too long' } };
    const post = newPost(request, { key: '', text });
    posts.push(post);
    count += 1;
    const message = {
      message_id: count,
      date: Math.floor(post.at / 1000),
      chat: { id: -100, type: 'channel', username: 'harbour_news' },
      text,
    };
    return { status: 200, body: { ok: true, result: message } };
  }

  const service: Service = { posting: ({ path }) => path.endsWith('/sendMessage'), handle };
  return startChannelDouble(service, { port }).then((double) => ({ ...double, token }));
}
