import { lookup as lookUp } from 'node:dns/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { reachOf } from './address-rules.ts';

export interface Address {
  address: string;
  family: number;
}
/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<Address[]>;

export interface GuardedRequest {
  /** Sent by POST; no redirect is followed then, it is the answer. Default: GET. */
  body?: Uint8Array;
  /** In place of POST. */
  method?: 'PATCH' | 'PUT';
  /** Waited for once the connection stands and before a byte of the request leaves; what it throws ends the request there. */
  onLeave?: () => void | Promise<void>;
  headers?: Readonly<Record<string, string>>;
  /** Hosts, as the address names them, whose private addresses the owner allows. @default none */
  allowPrivate?: readonly string[];
  /** Most bytes of the answer's body, before and after decompression; 0: it is not read. */
  mostBytes: number;
  /** Milliseconds for all of it: names, redirects, headers, body. */
  timeoutMs: number;
  /** @default 5 */
  mostRedirects?: number;
  signal?: AbortSignal;
}

export interface GuardedReply {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** Where it came from, after redirects. */
  url: string;
  /** The new address, where every redirect said that it is for good. */
  movedTo?: string;
  /** Decompressed. */
  body: Buffer;
}

export type GuardedFetch = (url: string, request: GuardedRequest) => Promise<GuardedReply>;

const redirects = new Set([301, 302, 303, 307, 308]);
const forGood = new Set([301, 308]);
const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  br: createBrotliDecompress,
};

/**
 * GET and POST for addresses that somebody else may choose. Every address of every hop is judged before anything is sent, and the
 * connection goes to exactly the addresses that were judged: a name that answers otherwise the second time gains nothing.
 * No cookie, token or proxy of ours is used.
 * @throws ADDRESS_REFUSED, REMOTE_FAILED; no status is an error here
 */
export function createGuardedFetch({ resolve = resolveName }: { resolve?: Resolve } = {}): GuardedFetch {
  return async (url, request) => {
    const limit = AbortSignal.timeout(request.timeoutMs);
    const signal = request.signal ? AbortSignal.any([request.signal, limit]) : limit;
    try {
      return await follow(url, request, signal, resolve);
    } catch (err) {
      if (isDomainError(err)) throw err;
      if (request.signal?.aborted) throw request.signal.reason;
      const why = limit.aborted ? `no whole answer within ${request.timeoutMs / 1000} s` : reasonOf(err);
      throw new DomainError('REMOTE_FAILED', `${hostOf(url)}: ${why}`, { cause: err });
    }
  };
}

async function follow(
  first: string,
  request: GuardedRequest,
  signal: AbortSignal,
  resolve: Resolve,
): Promise<GuardedReply> {
  const { mostRedirects = 5, allowPrivate = [], mostBytes } = request;
  let url = checkedUrl(first);
  let moved = true;
  for (let hop = 0; ; hop += 1) {
    const addresses = await judgedAddresses(url, allowPrivate, resolve, signal);
    const response = await send(url, addresses, request, signal);
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if (!redirects.has(status) || location === undefined || request.body !== undefined) {
      const body = await wholeBody(response, mostBytes, signal);
      const movedTo = hop > 0 && moved ? { movedTo: url.href } : {};
      return { status, headers: response.headers, url: url.href, ...movedTo, body };
    }
    response.destroy();
    if (hop >= mostRedirects) throw new DomainError('REMOTE_FAILED', `more than ${mostRedirects} redirects`);
    const next = URL.parse(location, url.href);
    if (next === null) throw new DomainError('REMOTE_FAILED', 'a redirect leads to no address');
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw new DomainError('ADDRESS_REFUSED', `${url.host} redirects from https to http`);
    }
    moved &&= forGood.has(status);
    url = checkedUrl(next.href);
  }
}

function checkedUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null) throw new DomainError('ADDRESS_REFUSED', 'it is no address');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new DomainError('ADDRESS_REFUSED', `only http and https are fetched, not ${url.protocol}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new DomainError('ADDRESS_REFUSED', `the address at ${url.host} holds a name or password`);
  }
  return url;
}

async function judgedAddresses(
  url: URL,
  allowPrivate: readonly string[],
  resolve: Resolve,
  signal: AbortSignal,
): Promise<Address[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(host);
  const addresses = family === 0 ? await before(signal, resolve(host)) : [{ address: host, family }];
  if (addresses.length === 0) throw new DomainError('REMOTE_FAILED', `${host} has no address`);
  const allowed = allowPrivate.some((name) => name.toLowerCase() === host);
  for (const { address } of addresses) {
    const reach = reachOf(address);
    if (reach === 'public' || (reach === 'private' && allowed)) continue;
    // One address that leads inside is enough: which of them answers is not ours to choose.
    const kind = reach === 'private' ? 'a private address' : 'an address that is never fetched from';
    throw new DomainError('ADDRESS_REFUSED', family === 0 ? `${host} leads to ${kind}` : `${host} is ${kind}`);
  }
  return addresses;
}

function send(
  url: URL,
  addresses: readonly Address[],
  { headers, body, method, onLeave }: Pick<GuardedRequest, 'headers' | 'body' | 'method' | 'onLeave'>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  // Node asks this in place of a name server; for an address written out it asks nobody.
  const lookup: LookupFunction = (_hostname, options, callback) => {
    if (options.all) callback(null, [...addresses]);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  };
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === 'https:' ? https : http;
    const sent = request(url, {
      // A connection of its own: none that was opened under another judgement is used again.
      agent: false,
      lookup,
      signal,
      maxHeaderSize: 32 * 1024,
      headers: {
        'accept-encoding': 'gzip, br',
        ...(body === undefined ? {} : { 'content-length': String(body.length) }),
        ...headers,
      },
      ...(body === undefined ? {} : { method: method ?? 'POST' }),
    });
    sent.on('response', resolve);
    sent.on('error', reject);
    // Nothing is written before `end`: headers wait for it.
    const leave = async () => {
      try {
        await onLeave?.();
      } catch (err) {
        sent.destroy(err as Error);
        return;
      }
      if (!sent.destroyed) sent.end(body);
    };
    sent.on('socket', (socket) => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => void leave());
    });
  });
}

async function wholeBody(response: IncomingMessage, mostBytes: number, signal: AbortSignal): Promise<Buffer> {
  if (mostBytes === 0) {
    response.destroy();
    return Buffer.alloc(0);
  }
  const coding = (response.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  const decode = coding === 'identity' || coding === '' ? undefined : decoders[coding];
  try {
    if (coding !== 'identity' && coding !== '' && decode === undefined) {
      throw new DomainError('REMOTE_FAILED', 'the answer is packed in a way that was not asked for');
    }
    if (Number(response.headers['content-length'] ?? 0) > mostBytes) throw tooLarge(mostBytes);
    const chunks: Buffer[] = [];
    const keep = async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of bounded(source, mostBytes)) chunks.push(chunk);
    };
    const packed = (source: AsyncIterable<Buffer>) => bounded(source, mostBytes);
    // Empty answers may say that they are packed.
    const empty = response.statusCode === 204 || response.statusCode === 304;
    if (decode === undefined || empty) await pipeline(response, keep, { signal });
    else await pipeline(response, packed, decode(), keep, { signal });
    return Buffer.concat(chunks);
  } catch (err) {
    response.destroy();
    throw err;
  }
}

async function* bounded(source: AsyncIterable<Buffer>, mostBytes: number): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of source) {
    length += chunk.length;
    if (length > mostBytes) throw tooLarge(mostBytes);
    yield chunk;
  }
}

function tooLarge(mostBytes: number): DomainError {
  return new DomainError('REMOTE_FAILED', `the answer is over ${mostBytes} bytes`);
}

async function resolveName(hostname: string): Promise<Address[]> {
  return lookUp(hostname, { all: true, verbatim: true });
}

/** A name server that hangs cannot be told to stop; it is waited for no longer. */
async function before<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const gone = Promise.withResolvers<never>();
  const leave = () => gone.reject(signal.reason);
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([work, gone.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? 'the address';
}

/** What went wrong, without addresses of ours. */
function reasonOf(err: unknown): string {
  if (err instanceof AggregateError && err.errors.length > 0) return reasonOf(err.errors[0]);
  const { code, message } = err as NodeJS.ErrnoException;
  return code === undefined ? message : (said[code] ?? code);
}
const said: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no such name',
  EAI_AGAIN: 'the name server does not answer',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection broke off',
  ERR_STREAM_PREMATURE_CLOSE: 'the connection broke off',
  HPE_HEADER_OVERFLOW: 'its headers are too long',
  Z_DATA_ERROR: 'the answer is packed wrongly',
  Z_BUF_ERROR: 'the answer broke off',
};
