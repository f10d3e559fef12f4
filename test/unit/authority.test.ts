import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addAuthority,
  dropAuthority,
  openAuthority,
  readAuthorities,
  trustOf,
} from '../../deploy/tls/authority-files.ts';
import {
  type Authority,
  certificatesOf,
  createAuthority,
  createRequest,
  fingerprintOf,
  type IssuedCertificate,
  issueClientCertificate,
  issueServerCertificate,
  readCertificate,
  requestKeyHash,
  serialOf,
  signRequest,
} from '../../deploy/tls/authority.ts';
import { serverNames } from '../../domain/server-names.ts';

const dayMs = 24 * 3_600_000;

describe('the authority', () => {
  let authority: Authority;
  let other: Authority;
  let server: IssuedCertificate;
  beforeAll(async () => {
    [authority, other] = await Promise.all([createAuthority(), createAuthority()]);
    server = await issueServerCertificate(authority, [serverNames.postgres, 'db.example.org'], ['10.0.0.5', '::1']);
  });

  test('makes an authority that signs certificates and nothing below itself', () => {
    const read = new X509Certificate(authority.certificate);
    expect(read.ca).toBe(true);
    expect(read.verify(read.publicKey)).toBe(true);
    expect(createPublicKey(authority.privateKey).asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    expect(fingerprintOf(authority.certificate)).toMatch(/^[\w-]{43}$/);
    expect(fingerprintOf(authority.certificate)).toBe(
      Buffer.from(read.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url'),
    );
  });

  test('names the servers and addresses that it was asked for, and sends its own certificate with it', () => {
    const read = new X509Certificate(server.certificate);
    expect(read.checkHost(serverNames.postgres)).toBe(serverNames.postgres);
    expect(read.checkHost('db.example.org')).toBe('db.example.org');
    expect(read.checkHost(serverNames.redis)).toBeUndefined();
    expect(read.checkIP('10.0.0.5')).toBe('10.0.0.5');
    expect(read.checkIP('::1')).toBe('::1');
    expect(read.ca).toBe(false);
    expect(read.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
    expect(certificatesOf(server.certificate)).toEqual([expect.any(String), authority.certificate]);
    expect(serialOf(read.serialNumber)).toBe(server.serial);
    expect(read.checkPrivateKey(createPrivateKey(server.privateKey))).toBe(true);
  });

  test('signs the key of a request and takes nothing else of it', async () => {
    const { request, privateKey } = await createRequest('sidepc');
    const signed = await signRequest(authority, 'mainpc', request);
    const read = new X509Certificate(signed.certificate);
    expect(readCertificate(signed.certificate)).toMatchObject({
      subject: 'mainpc',
      serial: signed.serial,
      isDue: false,
    });
    expect(read.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
    const again = await createRequest('sidepc', privateKey);
    expect(requestKeyHash(again.request)).toBe(requestKeyHash(request));
    expect(requestKeyHash((await createRequest('sidepc')).request)).not.toBe(requestKeyHash(request));
  });

  test.each([
    ['no request', async () => 'hello'],
    ['a certificate', async () => authority.certificate],
    [
      'a request whose signature is broken',
      async () => {
        const { request } = await createRequest('mainpc');
        const bytes = Buffer.from(request.replace(/-----[^-]+-----/g, ''), 'base64');
        bytes[bytes.length - 1]! ^= 1;
        return `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
      },
    ],
  ])('refuses %s', async (_what, make) => {
    await expect(signRequest(authority, 'mainpc', await make())).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  test('is due at two thirds of its life, and never outlives its authority', async () => {
    const now = new Date('2026-01-01T00:00:00.500Z');
    const made = await issueClientCertificate(authority, 'mainpc', { days: 90, now });
    expect(readCertificate(made.certificate, new Date(now.getTime() + 59 * dayMs)).isDue).toBe(false);
    expect(readCertificate(made.certificate, new Date(now.getTime() + 61 * dayMs)).isDue).toBe(true);
    expect(made.notAfter).toBe('2026-04-01T00:00:00.000Z');
    const brief = await createAuthority({ days: 10, now });
    const outlived = await issueClientCertificate(brief, 'mainpc', { days: 90, now });
    expect(outlived.notAfter).toBe('2026-01-11T00:00:00.000Z');
  });

  test.each([
    ['no certificate', undefined, false],
    ['one of another authority', () => issueClientCertificate(other, 'mainpc'), false],
    ['a server’s', () => issueServerCertificate(authority, [serverNames.redis]), false],
    [
      'one that has run out',
      () => issueClientCertificate(authority, 'mainpc', { days: 1, now: new Date(Date.now() - 2 * dayMs) }),
      false,
    ],
    ['a machine’s', () => issueClientCertificate(authority, 'mainpc'), true],
  ])('a server takes from a client: %s → %s', async (_what, make, taken) => {
    expect(await handshake(server, serverNames.postgres, await make?.())).toMatchObject({
      client: true,
      server: taken,
    });
  });

  test('a client takes neither another name nor a machine’s certificate for a server', async () => {
    const machine = await issueClientCertificate(authority, 'mainpc');
    expect(await handshake(server, serverNames.temporal, machine)).toMatchObject({ client: false });
    expect(await handshake(machine, 'mainpc', machine)).toMatchObject({ client: false });
  });

  async function handshake(shown: IssuedCertificate, servername: string, client: IssuedCertificate | undefined) {
    const seen = Promise.withResolvers<boolean>();
    const listening = tls.createServer(
      {
        cert: shown.certificate,
        key: shown.privateKey,
        ca: authority.certificate,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (socket) => {
        seen.resolve(socket.authorized);
        socket.end();
      },
    );
    listening.on('tlsClientError', () => seen.resolve(false));
    listening.listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const socket = tls.connect({
      port: (listening.address() as AddressInfo).port,
      servername,
      ca: authority.certificate,
      ...(client && { cert: client.certificate, key: client.privateKey }),
    });
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('secureConnect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    const server = connected ? await seen.promise : false;
    socket.destroy();
    listening.close();
    return { client: connected, server };
  }
});

describe('its files', () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'soulfra-authority-')), 'tls');
  afterAll(() => rmSync(join(folder, '..'), { recursive: true }));

  test('keeps the key for its owner alone, and one authority until it is rotated', async () => {
    expect(readAuthorities(folder)).toEqual([]);
    const first = await openAuthority(folder);
    expect(await openAuthority(folder)).toEqual(first);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'authority-1.key')).mode & 0o777).toBe(0o600);
    const next = await addAuthority(folder);
    expect(next.generation).toBe(2);
    expect(readAuthorities(folder)).toEqual([first, next]);
    expect(trustOf(readAuthorities(folder))).toBe(first.certificate + next.certificate);
    dropAuthority(folder, 1);
    expect(readAuthorities(folder)).toEqual([next]);
    expect(readdirSync(folder).sort()).toEqual(['authority-2.crt', 'authority-2.key']);
  });

  test('a key whose certificate was never written is no authority, and a lost key is told', async () => {
    const cut = join(folder, 'cut');
    await openAuthority(cut);
    rmSync(join(cut, 'authority-1.crt'));
    expect(readAuthorities(cut)).toEqual([]);
    await openAuthority(cut);
    expect(existsSync(join(cut, 'authority-1.crt'))).toBe(true);
    rmSync(join(cut, 'authority-1.key'));
    expect(() => readAuthorities(cut)).toThrow(/authority-1\.key cannot be read/);
    writeFileSync(join(cut, 'authority-1.crt'), '');
    expect(() => readAuthorities(cut)).toThrow(/is no certificate/);
  });
});
