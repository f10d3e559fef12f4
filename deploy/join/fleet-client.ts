import { X509Certificate } from 'node:crypto';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import * as tls from 'node:tls';
import type { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { serverNames } from '../../domain/server-names.ts';
import { fingerprintOf } from '../tls/authority.ts';
import { errorOf } from './refusals.ts';

const timeoutMs = 15_000;
const mostBytes = 256 * 1024;

export interface FleetAt {
  host: string;
  port: number;
}

/** What a box trusts, and who it is once it has joined. */
export interface Trusting {
  /** PEM. */
  ca: string;
  cert?: string;
  key?: string;
}

/**
 * The authority of the fleet at an address: the one whose fingerprint the invitation carries, so that nothing else needs to be
 * trusted. Nothing is sent on this connection.
 * @throws CERTIFICATE_REFUSED where it shows another · CLOCK_OFF where its certificate is not of this box's time
 */
export async function findAuthority({ host, port }: FleetAt, fingerprint: string): Promise<string> {
  const chain = await new Promise<X509Certificate[]>((resolve, reject) => {
    const socket = tls.connect({
      host,
      port,
      servername: serverNames.join,
      rejectUnauthorized: false,
      timeout: timeoutMs,
    });
    socket.once('secureConnect', () => {
      const shown: X509Certificate[] = [];
      let next: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
      while (next?.raw && shown.length < 8 && !shown.some(({ raw }) => raw.equals(next!.raw))) {
        shown.push(new X509Certificate(next.raw));
        next = next.issuerCertificate;
      }
      socket.destroy();
      resolve(shown);
    });
    socket.once('timeout', () => socket.destroy(new Error('it does not answer')));
    socket.once('error', (cause) => reject(unreachable({ host, port }, cause)));
  });
  const authority = chain.find(({ raw }) => fingerprintOf(raw) === fingerprint);
  const own = chain[0];
  if (!authority || !own || !own.checkIssued(authority) || !own.verify(authority.publicKey))
    throw new DomainError(
      'CERTIFICATE_REFUSED',
      `what answers at ${host}:${port} is not the fleet that made this invitation (its authority has another fingerprint)`,
    );
  const now = Date.now();
  if (now < own.validFromDate.getTime() || now > own.validToDate.getTime())
    throw new DomainError(
      'CLOCK_OFF',
      `by the clock of this box it is ${new Date(now).toISOString().slice(0, 16)}Z, but the fleet’s certificate is of ${own.validFromDate.toISOString().slice(0, 16)}Z to ${own.validToDate.toISOString().slice(0, 16)}Z`,
    );
  return authority.toString();
}

/** Asks the fleet, whose certificate must be of the authority that is trusted. */
export async function askFleet<Schema extends z.ZodType>(
  { host, port }: FleetAt,
  { method, path, body }: { method: 'GET' | 'POST'; path: string; body?: object },
  trusting: Trusting,
  schema: Schema,
): Promise<z.infer<Schema>> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const options: RequestOptions = {
    host,
    port,
    method,
    path,
    servername: serverNames.join,
    ...trusting,
    // A connection of its own each time: one from before a renewal shows the certificate from before it.
    agent: false,
    timeout: timeoutMs,
    headers:
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
  };
  const { status, answer } = await new Promise<{ status: number; answer: string }>((resolve, reject) => {
    const call = httpsRequest(options, (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > mostBytes) call.destroy(new Error('its answer is too long'));
        else pieces.push(piece);
      });
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 500, answer: Buffer.concat(pieces).toString('utf8') }),
      );
      response.once('error', reject);
    });
    call.once('timeout', () => call.destroy(new Error('it does not answer')));
    call.once('error', (cause) => reject(unreachable({ host, port }, cause)));
    call.end(text);
  });
  let read: unknown;
  try {
    read = JSON.parse(answer);
  } catch (cause) {
    throw new DomainError('UNAVAILABLE', `${host}:${port} answered what is no JSON`, { cause });
  }
  if (status !== 200) throw errorOf(read, status);
  return schema.parse(read);
}

function unreachable({ host, port }: FleetAt, cause: Error): DomainError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return new DomainError(
      'CLOCK_OFF',
      `the fleet’s certificate is not of the time that this box has (${new Date().toISOString()})`,
      { cause },
    );
  return new DomainError('UNAVAILABLE', `the fleet at ${host}:${port} is not reached: ${message || code}`, { cause });
}
