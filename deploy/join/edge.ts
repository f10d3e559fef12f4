import type { X509Certificate } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as net from 'node:net';
import * as tls from 'node:tls';
import type { EdgeRefusal } from '../../domain/joins.ts';
import { serverNames } from '../../domain/server-names.ts';
import type { Standing } from '../../stores/machine-joins.ts';
import { serialOf } from '../tls/authority.ts';

export interface Upstream {
  host: string;
  port: number;
}

export interface EdgeCredentials {
  /** PEM: the edge's own, with its authority's. */
  certificate: string;
  privateKey: string;
  /** PEM: whose certificates are taken. */
  trust: string;
}

/** Whoever asks at `join.soulfra`; `machine` has shown a certificate that lives. */
export interface Caller {
  serial: string;
  machineId: string;
}

export interface EdgeOptions {
  upstreams: Record<'postgres' | 'redis' | 'temporal', Upstream>;
  credentials: EdgeCredentials;
  standing: (serial: string) => Promise<Standing | undefined>;
  livingOf: (serials: readonly string[]) => Promise<ReadonlySet<string>>;
  answer: (request: IncomingMessage, response: ServerResponse, caller: Caller | undefined) => Promise<void>;
  onRefused: (reason: EdgeRefusal) => void;
  onError: (err: unknown, doing: string) => void;
  /** Until a connection has shown who it is. @default 10000 */
  handshakeMs?: number;
  /** Connections at once. @default 2000 */
  mostConnections?: number;
  /** Of these, those that have not shown yet who they are. @default 100 */
  mostPending?: number;
}

/** What a client of Postgres sends before it speaks TLS: length 8, code 80877103. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const tlsHandshake = 0x16;
const protocols = ['h2', 'http/1.1', 'postgresql'];
const upstreamConnectMs = 5_000;

interface Living {
  socket: tls.TLSSocket;
  serial: string;
  notAfter: number;
}

/**
 * One TLS port before Temporal, Postgres and Redis, routed by the name that a client asks for. Nothing is forwarded but for a machine
 * whose certificate lives by the books, looked up at each connection; those of a machine that was revoked meanwhile are cut.
 */
export function createEdge(options: EdgeOptions) {
  const { handshakeMs = 10_000, mostConnections = 2_000, mostPending = 100 } = options;
  const open = new Set<net.Socket>();
  const pending = new Set<net.Socket>();
  const forwarded = new Set<Living>();
  let closing = false;

  const settings: tls.TlsOptions = {
    ...shown(options.credentials),
    requestCert: true,
    // Who shows none may still join; all else is refused by its name.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    ALPNCallback: ({ protocols: asked }) => protocols.find((name) => asked.includes(name)),
  };
  const http = createHttpServer();
  http.on('request', (request, response) => {
    const caller = callers.get(request.socket as tls.TLSSocket);
    options.answer(request, response, caller).catch((err: unknown) => {
      options.onError(err, 'answering a box');
      response.destroy();
    });
  });
  const callers = new WeakMap<tls.TLSSocket, Caller>();
  // A client of Postgres has said by its first bytes where it wants to go, whatever name it gives.
  const plain = tls.createServer(settings, (socket) => void route(socket, false));
  const postgres = tls.createServer(settings, (socket) => void route(socket, true));
  for (const server of [plain, postgres])
    server.on('tlsClientError', (err: NodeJS.ErrnoException, socket: tls.TLSSocket) => {
      // Who goes away is not refused.
      if (err.code !== 'ECONNRESET') options.onRefused('handshake');
      socket.destroy();
    });

  const listener = net.createServer({ noDelay: true, keepAlive: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      open.delete(socket);
      pending.delete(socket);
    });
    if (closing || open.size > mostConnections || pending.size >= mostPending) {
      options.onRefused('crowded');
      socket.destroy();
      return;
    }
    pending.add(socket);
    const late = setTimeout(() => {
      if (!pending.has(socket)) return;
      options.onRefused('handshake');
      socket.destroy();
    }, handshakeMs);
    socket.once('close', () => clearTimeout(late));
    greet(socket);
  });

  /** Tells TLS from a client of Postgres and from what is neither, by the first bytes. */
  function greet(socket: net.Socket): void {
    let seen = Buffer.alloc(0);
    const read = () => {
      const piece = socket.read() as Buffer | null;
      if (piece === null) return;
      seen = Buffer.concat([seen, piece]);
      const isTls = seen[0] === tlsHandshake;
      if (!isTls && seen.length < sslRequest.length && sslRequest.subarray(0, seen.length).equals(seen)) return;
      socket.removeListener('readable', read);
      if (isTls) {
        socket.unshift(seen);
        plain.emit('connection', socket);
      } else if (seen.equals(sslRequest)) {
        socket.write('S');
        postgres.emit('connection', socket);
      } else {
        // So is what came behind the request before we answered: who will speak TLS waits.
        options.onRefused('plain');
        socket.destroy();
      }
    };
    socket.on('readable', read);
  }

  async function route(socket: tls.TLSSocket, asPostgres: boolean): Promise<void> {
    socket.on('error', () => socket.destroy());
    const refuse = (reason: EdgeRefusal) => {
      options.onRefused(reason);
      socket.destroy();
    };
    try {
      const name = asPostgres ? serverNames.postgres : nameOf(socket);
      if (name === undefined) return refuse('unknown_name');
      const shownCertificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
      const caller = shownCertificate && (await callerOf(shownCertificate));
      if (socket.destroyed) return;
      if (name === serverNames.join) {
        if (caller?.state === 'living') callers.set(socket, caller);
        settled(socket);
        // A server that never listens watches no time-outs of its own; each of these connections has one answer.
        const late = setTimeout(() => socket.destroy(), 3 * handshakeMs);
        socket.once('close', () => clearTimeout(late));
        http.emit('connection', socket);
        return;
      }
      if (shownCertificate === undefined || caller === undefined) return refuse('untrusted');
      if (caller.state !== 'living') return refuse('revoked');
      settled(socket);
      const to =
        asPostgres || name === serverNames.postgres ? 'postgres' : name === serverNames.redis ? 'redis' : 'temporal';
      forward(socket, options.upstreams[to], {
        socket,
        serial: caller.serial,
        notAfter: shownCertificate.validToDate.getTime(),
      });
    } catch (err) {
      options.onError(err, 'looking up a certificate');
      refuse('unanswered');
    }
  }

  /** It has shown who it is. */
  function settled(socket: tls.TLSSocket): void {
    for (const raw of pending)
      if (raw.remotePort === socket.remotePort && raw.remoteAddress === socket.remoteAddress) pending.delete(raw);
  }

  async function callerOf(certificate: X509Certificate) {
    const serial = serialOf(certificate.serialNumber);
    const standing = await options.standing(serial);
    return standing && { serial, machineId: standing.machineId, state: standing.state };
  }

  function forward(socket: tls.TLSSocket, { host, port }: Upstream, living: Living): void {
    const upstream = net.connect({ host, port, noDelay: true, keepAlive: true });
    const connecting = setTimeout(() => upstream.destroy(), upstreamConnectMs);
    forwarded.add(living);
    upstream.once('connect', () => {
      clearTimeout(connecting);
      socket.pipe(upstream);
      upstream.pipe(socket);
    });
    upstream.once('error', () => upstream.destroy());
    upstream.once('close', () => {
      clearTimeout(connecting);
      socket.destroySoon();
    });
    socket.once('close', () => {
      forwarded.delete(living);
      upstream.destroy();
    });
  }

  return {
    listen(address: string, port: number): Promise<net.AddressInfo> {
      return new Promise((resolve, reject) => {
        listener.once('error', reject);
        listener.listen(port, address, () => {
          listener.removeListener('error', reject);
          listener.on('error', (err) => options.onError(err, 'listening'));
          resolve(listener.address() as net.AddressInfo);
        });
      });
    },
    /** New connections are met with these. */
    show(credentials: EdgeCredentials): void {
      for (const server of [plain, postgres]) server.setSecureContext({ ...settings, ...shown(credentials) });
    },
    /** Cuts every connection whose certificate lives no more. */
    async cut(now = Date.now()): Promise<number> {
      const serials = [...new Set([...forwarded].map(({ serial }) => serial))];
      if (serials.length === 0) return 0;
      const kept = await options.livingOf(serials);
      const ended = [...forwarded].filter(({ serial, notAfter }) => !kept.has(serial) || notAfter <= now);
      for (const { socket } of ended) socket.destroy();
      return ended.length;
    },
    connections: () => forwarded.size,
    async close(): Promise<void> {
      closing = true;
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const { socket } of forwarded) socket.destroy();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function shown({ certificate, privateKey, trust }: EdgeCredentials) {
  return { cert: certificate, key: privateKey, ca: trust };
}

function nameOf(socket: tls.TLSSocket): string | undefined {
  // `servername` of a server's socket is what the client asked for; false: nothing.
  const { servername } = socket as tls.TLSSocket & { servername?: string | false };
  return Object.values<string>(serverNames).find((known) => known === servername);
}
