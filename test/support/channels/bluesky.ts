import { createHash } from 'node:crypto';
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

const did = 'did:plc:harbour234567abcdefghijk';
const rkeyPattern = /^[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}$/;

interface Kept {
  value: Record<string, unknown>;
  cid: string;
}

/** A PDS: sessions that run out, records under the writer's keys, 300 graphemes, 30 sign-ins in 5 minutes and 1,666 posts an hour. */
export function startBlueskyDouble({
  handle: account = 'harbour.bsky.example',
  password = 'abcd-efgh-ijkl-mnop',
  port = 0,
} = {}) {
  const records = new Map<string, Kept>([
    [
      'app.bsky.actor.profile/self',
      { value: { $type: 'app.bsky.actor.profile', displayName: 'Harbour' }, cid: cidOf('0') },
    ],
  ]);
  const signIns = createQuota(30, 300);
  const writes = createQuota(1_666, 3_600);
  const access = new Map<string, number>();
  const refresh = new Set<string>();
  let count = 0;
  let signInsLeft = true;
  const replies: Array<{ to: string; author: string; text: string }> = [];

  function issued(at: number): Replied {
    count += 1;
    const [accessJwt, refreshJwt] = [`access-${count}`, `refresh-${count}`];
    access.set(accessJwt, at + 2 * 3_600_000);
    refresh.add(refreshJwt);
    return { status: 200, body: { accessJwt, refreshJwt, did, handle: account, active: true } };
  }
  const failed = (status: number, error: string, message = error): Replied => ({ status, body: { error, message } });

  function handle(request: Received, posts: Posted[]): Replied {
    const method = request.path.replace('/xrpc/', '');
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    if (method === 'com.atproto.server.createSession') {
      if (!signIns(account, request.at).allowed || !signInsLeft)
        return {
          ...failed(429, 'RateLimitExceeded'),
          headers: { 'ratelimit-reset': String(Math.ceil(request.at / 1000) + 300) },
        };
      const { identifier, password: given } = request.json;
      return identifier === account && given === password
        ? issued(request.at)
        : failed(401, 'AuthenticationRequired', 'Invalid identifier or password');
    }
    if (method === 'com.atproto.server.refreshSession') {
      // It takes no body, and says so.
      if (request.body !== '')
        return failed(400, 'InvalidRequest', 'A request body was provided when none was expected');
      return refresh.delete(token) ? issued(request.at) : failed(400, 'ExpiredToken', 'Token has been revoked');
    }
    const until = access.get(token);
    if (until === undefined) return failed(401, 'InvalidToken', 'Bad token');
    if (until < request.at) return failed(400, 'ExpiredToken', 'Token has expired');
    if (method === 'com.atproto.server.getSession')
      return { status: 200, body: { did, handle: account, active: true } };
    const place = (of: { collection: unknown; rkey: unknown }) => `${wordOf(of.collection)}/${wordOf(of.rkey)}`;
    if (method === 'com.atproto.repo.getRecord') {
      const at = place({ collection: request.query.get('collection'), rkey: request.query.get('rkey') });
      const known = records.get(at);
      return known === undefined
        ? failed(400, 'RecordNotFound', `Could not locate record: at://${did}/${at}`)
        : { status: 200, body: { uri: `at://${did}/${at}`, ...known } };
    }
    if (method === 'app.bsky.feed.getPostThread') {
      const uri = request.query.get('uri');
      const post = { uri, author: { did, handle: account } };
      return { status: 200, body: { thread: { post, replies: replies.filter(({ to }) => to === uri).map(threadOf) } } };
    }
    const { collection, rkey, record, swapRecord } = request.json;
    const at = place({ collection, rkey });
    const value = (record ?? {}) as Record<string, unknown>;
    count += 1;
    const kept = { value, cid: cidOf(String(count)) };
    if (method === 'com.atproto.repo.putRecord') {
      if (swapRecord !== undefined && swapRecord !== (records.get(at)?.cid ?? null))
        return failed(400, 'InvalidSwap', 'Record was at another');
      records.set(at, kept);
      return { status: 200, body: { uri: `at://${did}/${at}`, cid: kept.cid } };
    }
    if (method !== 'com.atproto.repo.createRecord') return failed(501, 'MethodNotImplemented');
    const { allowed, remaining, resetAt } = writes(account, request.at);
    const headers = {
      'ratelimit-limit': '1666',
      'ratelimit-remaining': String(remaining),
      'ratelimit-reset': String(Math.ceil(resetAt / 1000)),
    };
    if (!allowed) return { ...failed(429, 'RateLimitExceeded'), headers };
    const text = wordOf(value['text']);
    if ([...new Intl.Segmenter().segment(text)].length > 300 || Buffer.byteLength(text) > 3_000)
      return failed(
        400,
        'InvalidRequest',
        'Invalid app.bsky.feed.post record: text must not be longer than 300 graphemes',
      );
    if (!rkeyPattern.test(wordOf(rkey))) return failed(400, 'InvalidRequest', 'Invalid record key');
    // As the repository says it: an error like any other.
    if (records.has(at)) return failed(500, 'InternalServerError', 'Internal Server Error');
    records.set(at, kept);
    posts.push(newPost(request, { key: wordOf(rkey), text }));
    return { status: 200, headers, body: { uri: `at://${did}/${at}`, cid: kept.cid, validationStatus: 'valid' } };
  }

  const service: Service = { posting: ({ path }) => path.endsWith('createRecord'), handle };
  return startChannelDouble(service, { port }).then((double) => ({
    ...double,
    handle: account,
    password,
    did,
    records,
    /** Somebody answers a post. */
    reply: (rkey: string, author: string, text: string) =>
      replies.push({ to: `at://${did}/app.bsky.feed.post/${rkey}`, author, text }),
    /** As if the account had signed in as often as it may, or not. */
    limitSignIns(limited: boolean): void {
      signInsLeft = !limited;
    },
    /** Ends every session, as a server may. */
    endSessions(): void {
      access.clear();
    },
  }));
}

/** A CID of version 1, dag-cbor, SHA-256, in base 32: the form that its clients look at. */
function cidOf(text: string): string {
  const bytes = Buffer.concat([Buffer.from([1, 0x71, 0x12, 0x20]), createHash('sha256').update(text).digest()]);
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const signs = bits
    .match(/.{1,5}/g)!
    .map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five.padEnd(5, '0'), 2)]!);
  return `b${signs.join('')}`;
}

function threadOf({ author, text }: { author: string; text: string }, place: number) {
  const record = { $type: 'app.bsky.feed.post', text, createdAt: new Date().toISOString() };
  return { post: { uri: `at://did:plc:other/app.bsky.feed.post/${place}`, author: { handle: author }, record } };
}
