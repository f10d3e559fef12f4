import http, { type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync, brotliCompressSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { createGuardedFetch, type GuardedRequest } from '../../integrations/guarded-fetch.ts';

const servers: http.Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A real server on the loopback. */
async function serve(handler: RequestListener): Promise<{ url: string; port: number; requests: () => number }> {
  let requests = 0;
  const server = http.createServer((request, response) => {
    requests += 1;
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, port, requests: () => requests };
}

const guardedFetch = createGuardedFetch();
const own: GuardedRequest = { mostBytes: 10_000, timeoutMs: 5_000, allowPrivate: ['127.0.0.1'] };
const fails = (url: string, request: Partial<GuardedRequest> = {}, fetch = guardedFetch) =>
  expect(fetch(url, { ...own, ...request })).rejects;

test('answers with status, headers and body; no status is an error', async () => {
  const { url } = await serve((_, response) => response.writeHead(418, { etag: '"a"' }).end('tea'));
  const reply = await guardedFetch(url, own);
  expect({ status: reply.status, etag: reply.headers.etag, body: reply.body.toString(), url: reply.url }).toEqual({
    status: 418,
    etag: '"a"',
    body: 'tea',
    url,
  });
  expect(reply.movedTo).toBeUndefined();
});

describe('refuses before anything is sent:', () => {
  test.each([
    'file:///etc/passwd',
    'gopher://1.1.1.1/',
    'ftp://1.1.1.1/',
    'javascript:alert(1)',
    'data:text/plain,x',
    'no address',
    'http://user:secret@1.1.1.1/',
    'http://127.0.0.1:1/',
    'http://127.1:1/',
    'http://2130706433:1/',
    'http://0x7f.0.0.1:1/',
    'http://0177.0.0.1:1/',
    'http://[::1]:1/',
    'http://[::ffff:127.0.0.1]:1/',
    'http://[::ffff:7f00:1]:1/',
    'http://[fd00::1]:1/',
    'http://10.0.0.1/',
    'http://192.168.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://0.0.0.0:1/',
    'http://localhost:1/',
    'http://[64:ff9b::7f00:1]/',
    'http://[2002:7f00:1::]/',
  ])('%s', async (url) => {
    await fails(url, { allowPrivate: [] }).toMatchObject({ code: 'ADDRESS_REFUSED' });
  });

  test('also an allowed host that leads to a cloud’s metadata', async () => {
    await fails('http://169.254.169.254/', { allowPrivate: ['169.254.169.254'] }).toMatchObject({
      code: 'ADDRESS_REFUSED',
    });
  });

  test('no message repeats the secret of an address', async () => {
    await fails('http://user:secret@1.1.1.1/').toMatchObject({ message: expect.not.stringContaining('secret') });
  });
});

describe('names', () => {
  test('one private address among public ones is enough to refuse', async () => {
    const fetch = createGuardedFetch({
      resolve: () =>
        Promise.resolve([
          { address: '93.184.215.14', family: 4 },
          { address: '10.0.0.1', family: 4 },
        ]),
    });
    await fails('http://feeds.example/', {}, fetch).toMatchObject({ code: 'ADDRESS_REFUSED' });
  });

  test('a name that answers otherwise the second time gains nothing: it is asked once, and that is connected to', async () => {
    const { port, requests } = await serve((_, response) => response.end('inside'));
    let asked = 0;
    const rebinding = createGuardedFetch({
      resolve: () => {
        asked += 1;
        return Promise.resolve([{ address: asked === 1 ? '127.0.0.1' : '169.254.169.254', family: 4 }]);
      },
    });
    const reply = await rebinding(`http://rebind.example:${port}/`, { ...own, allowPrivate: ['rebind.example'] });
    expect({ asked, requests: requests(), body: reply.body.toString() }).toEqual({
      asked: 1,
      requests: 1,
      body: 'inside',
    });
  });

  test('the second answer of a rebinding name is judged too', async () => {
    const { port, requests } = await serve((_, response) => response.writeHead(302, { location: '/again' }).end());
    let asked = 0;
    const rebinding = createGuardedFetch({
      resolve: () => {
        asked += 1;
        return Promise.resolve([{ address: asked === 1 ? '127.0.0.1' : '169.254.169.254', family: 4 }]);
      },
    });
    await fails(`http://rebind.example:${port}/`, { allowPrivate: ['rebind.example'] }, rebinding).toMatchObject({
      code: 'ADDRESS_REFUSED',
    });
    expect({ asked, requests: requests() }).toEqual({ asked: 2, requests: 1 });
  });

  test('a name server that hangs is waited for no longer than the limit', async () => {
    const fetch = createGuardedFetch({ resolve: () => new Promise(() => undefined) });
    await fails('http://slow.example/', { timeoutMs: 200 }, fetch).toMatchObject({
      code: 'REMOTE_FAILED',
      message: 'slow.example: no whole answer within 0.2 s',
    });
  });

  test('a name that is none is told', async () => {
    await fails('http://no-such-name.invalid/').toMatchObject({ code: 'REMOTE_FAILED' });
  });
});

describe('redirects', () => {
  test('are followed; where each is for good, the new address is told', async () => {
    const { url } = await serve((request, response) => {
      if (request.url === '/') response.writeHead(301, { location: '/b' }).end();
      else if (request.url === '/b') response.writeHead(308, { location: '/c' }).end();
      else response.end('here');
    });
    const reply = await guardedFetch(url, own);
    expect({ body: reply.body.toString(), movedTo: reply.movedTo }).toEqual({ body: 'here', movedTo: `${url}c` });
  });

  test('one that is for now is no move', async () => {
    const { url } = await serve((request, response) => {
      if (request.url === '/') response.writeHead(301, { location: '/b' }).end();
      else if (request.url === '/b') response.writeHead(307, { location: '/c' }).end();
      else response.end('here');
    });
    expect((await guardedFetch(url, own)).movedTo).toBeUndefined();
  });

  test.each([
    'http://10.0.0.1/',
    'http://[::1]:1/',
    'http://169.254.169.254/latest/',
    'file:///etc/passwd',
    'http://localhost:1/',
  ])('to %s is refused', async (location) => {
    const { url } = await serve((_, response) => response.writeHead(302, { location }).end());
    await fails(url).toMatchObject({ code: 'ADDRESS_REFUSED' });
  });

  test('in a ring end', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(302, { location: '/' }).end());
    await fails(url, { mostRedirects: 3 }).toMatchObject({ code: 'REMOTE_FAILED', message: 'more than 3 redirects' });
    expect(requests()).toBe(4);
  });
});

describe('bodies', () => {
  const page = 'tide '.repeat(1_000);
  test.each([
    ['gzip', gzipSync(page)],
    ['br', brotliCompressSync(page)],
  ])('packed with %s are unpacked', async (coding, bytes) => {
    const { url } = await serve((_, response) => response.writeHead(200, { 'content-encoding': coding }).end(bytes));
    expect((await guardedFetch(url, own)).body.toString()).toBe(page);
  });

  test('an empty answer that says it is packed is empty', async () => {
    const { url } = await serve((_, response) => response.writeHead(304, { 'content-encoding': 'gzip' }).end());
    expect((await guardedFetch(url, own)).status).toBe(304);
  });

  test.each<[string, RequestListener, RegExp]>([
    [
      'one that says it is too large',
      (_, response) => response.writeHead(200, { 'content-length': '99999999' }).end('x'),
      /over 10000 bytes/,
    ],
    [
      'one that never ends',
      (_, response) => {
        const more = () => {
          while (response.write('x'.repeat(1_000)));
          response.once('drain', more);
        };
        more();
      },
      /over 10000 bytes/,
    ],
    [
      'a gzip bomb',
      (_, response) =>
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50 * 1024 * 1024))),
      /over 10000 bytes/,
    ],
    [
      'a pack that is none',
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip'),
      /packed wrongly/,
    ],
    [
      'a pack that breaks off',
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(page).subarray(0, -20)),
      /broke off/,
    ],
    [
      'a pack in a pack',
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(gzipSync(gzipSync(page))),
      /not asked for/,
    ],
    [
      'one that breaks off',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('half');
        setTimeout(() => response.destroy(), 20);
      },
      /broke off/,
    ],
    [
      'headers without end',
      (_, response) => response.writeHead(200, { 'x-long': 'x'.repeat(40_000) }).end(),
      /headers are too long/,
    ],
  ])('%s is refused', async (_name, handler, message) => {
    const { url } = await serve(handler);
    await fails(url).toMatchObject({ code: 'REMOTE_FAILED', message: expect.stringMatching(message) });
  });

  test.each<[string, RequestListener]>([
    ['says nothing', () => undefined],
    [
      'sends a byte now and then',
      (_, response) => {
        const timer = setInterval(() => response.write('x'), 20);
        response.on('close', () => clearInterval(timer));
      },
    ],
  ])('a server that %s is waited for no longer than the limit', async (_name, handler) => {
    const { url } = await serve(handler);
    await fails(url, { timeoutMs: 300 }).toMatchObject({
      code: 'REMOTE_FAILED',
      message: expect.stringContaining('no whole answer within 0.3 s'),
    });
  });

  test('a caller who gives up is told so', async () => {
    const { url } = await serve(() => undefined);
    const reason = new Error('the worker stops');
    await fails(url, { signal: AbortSignal.abort(reason) }).toBe(reason);
  });
});
