import {
  newPost,
  type Posted,
  type Received,
  type Replied,
  type Service,
  startChannelDouble,
  wordOf,
} from './double.ts';

/** A program that keeps the ids it has seen, as Standard Webhooks asks of it. */
export function startWebhookDouble({ port = 0 } = {}) {
  const seen = new Set<string>();

  function handle(request: Received, posts: Posted[]): Replied {
    const key = String(request.headers['webhook-id'] ?? '');
    if (seen.has(key)) return { status: 200, body: 'known' };
    seen.add(key);
    const data = (request.json['data'] ?? {}) as Record<string, unknown>;
    posts.push(newPost(request, { key, text: wordOf(data['text']) }));
    return { status: 200, body: 'taken' };
  }

  const service: Service = { posting: ({ method }) => method === 'POST', handle };
  return startChannelDouble(service, { port });
}
