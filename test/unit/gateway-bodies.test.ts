import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { expect, test } from 'vitest';
import { type BodyPatience, patientBody } from '../../api/gateway-bodies.ts';
import { createGatewayRoom } from '../../api/gateway-places.ts';
import { isDomainError } from '../../domain/errors.ts';

const mib = 2 ** 20;

test('one asker holds half of the room, so that others are let in; what a body does not need is given back', () => {
  const room = createGatewayRoom(8 * mib);
  const enter = (asker: string) => room.enter(asker, 8 * mib, 64 * mib);
  const slow = Array.from({ length: 4 }, () => enter('slow'));
  expect(() => enter('slow')).toThrow('requests of slow of 32 MiB are open, 8 more do not fit in 32');
  const others = ['a', 'b', 'c', 'd'].map(enter);
  expect(() => enter('e')).toThrow('requests of 64 MiB are open');
  slow[0]!.fit(1 * mib);
  expect(() => enter('e')).toThrow('requests of 57 MiB are open');
  slow[1]!.fit(1 * mib);
  const last = enter('e');
  expect(() => enter('f')).toThrow('requests of 58 MiB are open');
  for (const each of [...slow, ...others, last]) {
    each.leave();
    // More than once does nothing.
    each.leave();
    each.fit(0);
  }
  const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(enter);
  expect(() => enter('i')).toThrow('requests of 64 MiB are open');
  for (const each of all) each.leave();
});

test('where there is room for one body alone, whoever asks is let in', () => {
  const room = createGatewayRoom(8 * mib);
  room.enter('a', 8 * mib, 8 * mib).leave();
  expect(() => room.enter('a', 8 * mib, 8 * mib)).not.toThrow();
});

interface Seen {
  whole: number[];
  slow: number;
}

/** A server that reads bodies with this patience. */
async function withServer(
  patience: BodyPatience,
  act: (send: (parts: AsyncIterable<string> | string) => Promise<number>, seen: Seen) => Promise<void>,
): Promise<void> {
  const app = Fastify();
  const seen: Seen = { whole: [], slow: 0 };
  app.setErrorHandler((err, _request, reply) =>
    reply.code(isDomainError(err, 'BODY_TOO_SLOW') ? 408 : 400).send(String(err)),
  );
  app.post('/', {
    preParsing: async (_request, reply, payload) => {
      const { body, stop } = patientBody(payload, patience, {
        onWhole: (bytes) => seen.whole.push(bytes),
        onSlow() {
          seen.slow += 1;
          void reply.header('connection', 'close');
        },
      });
      reply.raw.once('close', stop);
      return body;
    },
    handler: () => 'read',
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const send = (parts: AsyncIterable<string> | string) =>
    new Promise<number>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', headers }, (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      request.on('error', reject);
      if (typeof parts === 'string') return void request.end(parts);
      void (async () => {
        for await (const part of parts) request.write(part);
        request.end();
      })();
    });
  try {
    await act(send, seen);
  } finally {
    await app.close();
  }
}

/** Begins a body and says no more. */
async function* silent(): AsyncGenerator<string> {
  yield '{"a":';
  await new Promise(() => undefined);
}

async function* drop(): AsyncGenerator<string> {
  yield '[0';
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    yield ',0';
  }
}

test('a body that comes whole is counted; one that falls silent, or drops in for ever, is given up and told', async () => {
  await withServer({ silentMs: 300, wholeMs: 60_000 }, async (send, seen) => {
    const text = JSON.stringify({ a: 'x'.repeat(200_000) });
    expect(await send(text)).toBe(200);
    expect(seen).toEqual({ whole: [text.length], slow: 0 });
    expect(await send(silent())).toBe(408);
    expect(seen.slow).toBe(1);
  });
  await withServer({ silentMs: 60_000, wholeMs: 300 }, async (send, seen) => {
    expect(await send(drop())).toBe(408);
    expect(seen).toEqual({ whole: [], slow: 1 });
  });
});
