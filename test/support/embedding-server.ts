import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { hashedEmbedder } from './hashed-embedder.ts';

export type EmbeddingServer = Awaited<ReturnType<typeof startEmbeddingServer>>;

/** `/v1/embeddings` over a socket, with vectors of hashed words, and a count of what each model was asked for. */
export async function startEmbeddingServer() {
  const asked = new Map<string, string[]>();
  const slow = new Map<string, number>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { model, input } = JSON.parse(Buffer.concat(parts).toString()) as { model: string; input: string[] };
    await pause(slow.get(model) ?? 0);
    asked.set(model, [...(asked.get(model) ?? []), ...input]);
    const vectors = await hashedEmbedder.embed(input);
    const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: [...vector] }));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ object: 'list', model, data, usage: { prompt_tokens: 1, total_tokens: 1 } }));
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((err: unknown) =>
      response.destroy(err instanceof Error ? err : new Error(String(err))),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    /** Texts that a model was asked for, each as often as it was. */
    askedOf: (model: string) => asked.get(model) ?? [],
    slowBy: (model: string, ms: number) => void slow.set(model, ms),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
