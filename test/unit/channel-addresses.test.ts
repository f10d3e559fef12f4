import http, { type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { createAsk, unpublished } from '../../integrations/channels/asking.ts';
import { createGuardedFetch, type Resolve } from '../../integrations/guarded-fetch.ts';

const servers: http.Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function serve(handler: RequestListener) {
  let requests = 0;
  const server = http.createServer((request, response) => {
    requests += 1;
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}/`, requests: () => requests };
}

/** One post, as each kind of channel makes it. */
function post(
  url: string,
  options: {
    resolve?: Resolve;
    allow?: string[];
    timeoutMs?: number;
    leaveBy?: number;
    mayLeave?: () => Promise<void>;
    now?: () => number;
  } = {},
) {
  const { resolve, allow = [], timeoutMs = 2_000, leaveBy = Date.now() + 5_000, mayLeave, now = Date.now } = options;
  const guardedFetch = createGuardedFetch(resolve === undefined ? {} : { resolve });
  return createAsk({ guardedFetch, allowPrivate: allow, timeoutMs, leaveBy, mayLeave, now })({
    url,
    json: { text: 'The lamp is lit.' },
  });
}

/** Addresses that somebody may give for a channel: this host, its networks, metadata of clouds, and other ways to write them. */
const inside = [
  'https://127.0.0.1/',
  'https://127.1/',
  'https://127.255.255.254/',
  'https://2130706433/',
  'https://0x7f000001/',
  'https://0x7f.1/',
  'https://0177.0.0.1/',
  'https://localhost/',
  'https://LOCALHOST./',
  'https://0.0.0.0/',
  'https://0/',
  'https://10.0.0.1/',
  'https://10.255.255.255/',
  'https://172.16.0.1/',
  'https://172.31.255.254/',
  'https://192.168.1.1/',
  'https://100.64.0.1/',
  'https://100.127.255.254/',
  'https://169.254.169.254/latest/meta-data/',
  'https://169.254.170.2/v2/credentials',
  'https://2852039166/',
  'https://100.100.100.200/',
  'https://168.63.129.16/',
  'https://192.0.0.192/',
  'https://192.0.2.1/',
  'https://198.18.0.1/',
  'https://198.51.100.7/',
  'https://203.0.113.9/',
  'https://224.0.0.1/',
  'https://239.255.255.250/',
  'https://240.0.0.1/',
  'https://255.255.255.255/',
  'https://[::]/',
  'https://[::1]/',
  'https://[0:0:0:0:0:0:0:1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://[::ffff:7f00:1]/',
  'https://[::ffff:169.254.169.254]/',
  'https://[::127.0.0.1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://[2002:7f00:1::]/',
  'https://[2001:db8::1]/',
  'https://[fc00::1]/',
  'https://[fd00:ec2::254]/',
  'https://[fe80::1]/',
  'https://[ff02::1]/',
  'https://user:secret@1.1.1.1/',
  'ftp://1.1.1.1/',
  'file:///etc/passwd',
  'gopher://1.1.1.1:70/_x',
  'unix:/var/run/docker.sock',
] as const;

describe('nothing is sent to', () => {
  test.each(inside)('%s', async (url) => {
    const asked = await post(url);
    expect(asked).toMatchObject({ kind: 'not_sent' });
    expect(unpublished(asked)).toMatchObject({ outcome: 'deferred' });
    expect(JSON.stringify(asked)).not.toContain('secret');
  });

  test.each(['127.0.0.1', '10.1.2.3', '169.254.169.254', '::1', 'fd12::1', '::ffff:192.168.0.1'])(
    'a name that leads to %s, though beside a public address',
    async (address) => {
      const { port, requests } = await serve((_, response) => response.end());
      const family = address.includes(':') ? 6 : 4;
      const resolve: Resolve = () =>
        Promise.resolve([
          { address: '93.184.215.14', family: 4 },
          { address, family },
        ]);
      expect(await post(`https://channel.example:${port}/`, { resolve })).toMatchObject({ kind: 'not_sent' });
      expect(requests()).toBe(0);
    },
  );
});

test('a name that answers otherwise the second time: each post asks once, and goes to what was judged', async () => {
  const { port, requests } = await serve((_, response) => response.end('{}'));
  const answers = ['127.0.0.1', '169.254.169.254', '127.0.0.1'];
  let asked = 0;
  const resolve: Resolve = () => Promise.resolve([{ address: answers[asked++]!, family: 4 }]);
  const url = `http://rebind.example:${port}/`;
  const kinds: string[] = [];
  for (const _ of answers) kinds.push((await post(url, { resolve, allow: ['rebind.example'] })).kind);
  // Allowed to lie in a network of the owner's, and never at a cloud's metadata.
  expect(kinds).toEqual(['reply', 'not_sent', 'reply']);
  expect({ asked, requests: requests() }).toEqual({ asked: 3, requests: 2 });
});

test('no redirect is followed, and no secret goes with one', async () => {
  const other = await serve((_, response) => response.end());
  const { url } = await serve((_, response) => response.writeHead(307, { location: other.url }).end());
  const asked = await post(url, { allow: ['127.0.0.1'] });
  expect(asked).toMatchObject({ kind: 'reply', status: 307 });
  expect(unpublished(asked)).toMatchObject({ outcome: 'refused' });
  expect(other.requests()).toBe(0);
});

test('an answer without end, or of more than 256 KiB, leaves it open whether the post is there', async () => {
  const slow = await serve((_, response) => {
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  });
  const large = await serve((_, response) => response.end('x'.repeat(300 * 1024)));
  for (const { url, requests } of [slow, large]) {
    const asked = await post(url, { allow: ['127.0.0.1'], timeoutMs: 400 });
    expect(asked.kind).toBe('unanswered');
    expect(unpublished(asked).outcome).toBe('unknown');
    expect(requests()).toBe(1);
  }
});

test('a process that stood still sends nothing late', async () => {
  const { url, requests } = await serve((_, response) => response.end());
  const asked = await post(url, { allow: ['127.0.0.1'], leaveBy: Date.now() - 1 });
  expect(asked).toMatchObject({ kind: 'not_sent', reason: expect.stringContaining('too late') as unknown });
  expect(requests()).toBe(0);
});

test('only https leaves, but to hosts that the operator allows, whatever was allowed when the channel was made', async () => {
  let asked = 0;
  const resolve: Resolve = () => {
    asked += 1;
    return Promise.resolve([{ address: '93.184.215.14', family: 4 }]);
  };
  expect(await post('http://channel.example/', { resolve })).toMatchObject({
    kind: 'not_sent',
    reason: expect.stringContaining('only https') as unknown,
  });
  expect(asked).toBe(0);
});

test('nothing leaves that was stopped meanwhile, nor after a look that took too long', async () => {
  const { url, requests } = await serve((_, response) => response.end());
  const allow = ['127.0.0.1'];
  const stopped = () => Promise.reject(new DomainError('CONFLICT', 'all posts were stopped meanwhile'));
  expect(await post(url, { allow, mayLeave: stopped })).toEqual({
    kind: 'not_sent',
    reason: 'all posts were stopped meanwhile',
  });
  let clock = Date.now();
  const slowly = () => {
    clock += 1_500;
    return Promise.resolve();
  };
  expect(await post(url, { allow, mayLeave: slowly, now: () => clock })).toMatchObject({
    kind: 'not_sent',
    reason: expect.stringContaining('too late') as unknown,
  });
  expect(requests()).toBe(0);
});
