import { newPost, type Posted, type Received, type Replied, type Service, startChannelDouble } from './double.ts';

/** An incoming webhook of Slack: one message a second with a few at once, `ok` and nothing else. */
export function startSlackDouble({ path = '/services/T1/B1/slack-secret', burst = 3, port = 0 } = {}) {
  let tokens = burst;
  let at = 0;

  function handle(request: Received, posts: Posted[]): Replied {
    if (request.path !== path) return { status: 404, body: 'no_service' };
    tokens = Math.min(burst, tokens + (request.at - at) / 1000);
    at = request.at;
    if (tokens < 1) return { status: 429, headers: { 'retry-after': '1' }, body: 'rate_limited' };
    tokens -= 1;
    const text = request.json['text'];
    if (typeof text !== 'string' || text === '') return { status: 400, body: 'no_text' };
    if (text.length > 40_000) return { status: 400, body: 'msg_too_long' };
    posts.push(newPost(request, { key: '', text }));
    return { status: 200, body: 'ok' };
  }

  const service: Service = { posting: ({ method }) => method === 'POST', handle };
  return startChannelDouble(service, { port }).then((double) => ({ ...double, webhookUrl: `${double.url}${path}` }));
}
