import {
  newPost,
  type Posted,
  type Received,
  type Replied,
  type Service,
  startChannelDouble,
  wordOf,
} from './double.ts';

/** A program that keeps the ids of what it has done, as Standard Webhooks asks of it: once it has done it. */
export function startWebhookDouble({ port = 0 } = {}) {
  const seen = new Set<string>();

  function handle(request: Received, posts: Posted[]): Replied {
    const key = String(request.headers['webhook-id'] ?? '');
    if (knows(request)) return { status: 200, body: 'known' };
    seen.add(key);
    const data = (request.json['data'] ?? {}) as Record<string, unknown>;
    posts.push(newPost(request, { key, text: wordOf(data['text']) }));
    return { status: 200, body: 'taken' };
  }

  const knows = (request: Received) =>
    request.unknown !== true && seen.has(String(request.headers['webhook-id'] ?? ''));

  const service: Service = { posting: ({ method }) => method === 'POST', knows, handle };
  return startChannelDouble(service, { port });
}
