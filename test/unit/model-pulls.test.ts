import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { pullModel } from '../../integrations/inference/ollama-models.ts';

let url: string;
let answer: ServerResponse;
const server = createServer((req, res) => {
  req.resume();
  answer = res;
  res.write('{"status":"pulling manifest"}\n');
});

beforeEach(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  vi.useRealTimers();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** A fetch, and when it came to a status. */
function pulling() {
  const reached = new Map([/^pulling/, /^verifying/].map((said) => [said.source, Promise.withResolvers<void>()]));
  const pulled = pullModel(url, 'm:q4', {
    onProgress(status) {
      for (const [said, { resolve }] of reached) if (new RegExp(said).test(status)) resolve();
    },
  });
  pulled.catch(() => undefined);
  return { pulled, pulls: reached.get('^pulling')!.promise, verifies: reached.get('^verifying')!.promise };
}

test('a registry that sends nothing for two minutes is gone', async () => {
  const { pulled, pulls } = pulling();
  await pulls;
  await vi.advanceTimersByTimeAsync(119_000);
  answer.write('{"status":"pulling 4f2","completed":1,"total":2}\n');
  await vi.advanceTimersByTimeAsync(121_000);
  await expect(pulled).rejects.toThrow('the registry sends nothing any more');
});

test('hashing big weights may be silent for longer, not for ever', async () => {
  const first = pulling();
  await first.pulls;
  answer.write('{"status":"verifying sha256 digest"}\n');
  await first.verifies;
  await vi.advanceTimersByTimeAsync(3_000_000);
  answer.end('{"status":"writing manifest"}\n{"status":"success"}\n');
  await first.pulled;

  const second = pulling();
  await second.pulls;
  answer.write('{"status":"verifying sha256 digest"}\n');
  await second.verifies;
  await vi.advanceTimersByTimeAsync(3_600_000);
  await expect(second.pulled).rejects.toThrow('verifies without an end');
});

test('whoever breaks it off is told so, and the connection ends', async () => {
  const stop = new AbortController();
  const heard = Promise.withResolvers<void>();
  const pulled = pullModel(url, 'm:q4', { signal: stop.signal, onProgress: () => heard.resolve() });
  await heard.promise;
  const closed = new Promise((resolve) => answer.on('close', resolve));
  stop.abort(new Error('the worker stops'));
  await expect(pulled).rejects.toThrow('the worker stops');
  await closed;
});
