// The library's containers need it before anything of the library is read.
import 'reflect-metadata';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  type webcrypto,
  X509Certificate as Certificate,
} from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { DomainError } from '../../domain/errors.ts';
import { slugSchema } from '../../domain/ids.ts';

/** One generation of our own certificate authority: whoever holds its key can let machines in. */
export interface Authority {
  /** From 1; a rotation makes the next. */
  generation: number;
  /** PEM. */
  certificate: string;
  /** PKCS8 PEM. */
  privateKey: string;
}

/** A certificate with the key that only its holder has. */
export interface IssuedCertificate extends SignedCertificate {
  /** PKCS8 PEM. */
  privateKey: string;
}

export interface SignedCertificate {
  /** PEM: the certificate, then the authority's, so that whoever knows that one's fingerprint alone can check the chain. */
  certificate: string;
  /** Lower-case hex, as Postgres keeps it and a handshake tells it. */
  serial: string;
  /** ISO. */
  notAfter: string;
}

interface Validity {
  /** @default 90 for servers and machines, 3650 for an authority */
  days?: number;
  now?: Date;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** A box whose clock is a little behind must not find a fresh certificate to be of the future. */
const backdatedMs = 5 * 60_000;
const dayMs = 24 * 3_600_000;
const certificateDays = 90;
const authorityDays = 3650;

/** A new authority. Its key never leaves the box that it is made on. */
export async function createAuthority(
  options: { generation?: number; name?: string } & Validity = {},
): Promise<Authority> {
  const { generation = 1, name = 'Soulfra', days = authorityDays, now = new Date() } = options;
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    // Two generations must not go by one name: whoever checks a chain looks its issuer up by it.
    name: [{ CN: [`${name} authority ${generation} ${randomBytes(4).toString('hex')}`] }],
    serialNumber: newSerial(),
    ...span(now, days),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { generation, certificate: pemOf(certificate), privateKey: await privatePem(keys.privateKey) };
}

/**
 * For a server that answers to these names and addresses, such as `temporal.soulfra`; the first name is its subject.
 * @param options.isClientToo for servers that also call each other with it, as those of a Temporal cluster do
 */
export async function issueServerCertificate(
  authority: Authority,
  names: readonly string[],
  addresses: readonly string[] = [],
  options: { isClientToo?: boolean } & Validity = {},
): Promise<IssuedCertificate> {
  const [subject] = names;
  if (subject === undefined) throw new TypeError('a server certificate needs a name');
  const keys = await newKeys();
  const signed = await sign(authority, {
    subject,
    publicKey: keys.publicKey,
    usages: [ExtendedKeyUsage.serverAuth, ...(options.isClientToo ? [ExtendedKeyUsage.clientAuth] : [])],
    alternativeNames: [
      ...names.map((value) => ({ type: 'dns' as const, value })),
      ...addresses.map((value) => ({ type: 'ip' as const, value })),
    ],
    validity: options,
  });
  return { ...signed, privateKey: await privatePem(keys.privateKey) };
}

/** For a machine or a part that dials our servers, with a key that is made here: where a box joins, it makes its key itself. */
export async function issueClientCertificate(
  authority: Authority,
  machineId: string,
  options: Validity = {},
): Promise<IssuedCertificate> {
  const { request, privateKey } = await createRequest(machineId);
  return { ...(await signRequest(authority, machineId, request, options)), privateKey };
}

/** A new key, and the request that its holder sends in place of it. */
export async function createRequest(
  machineId: string,
  keptKey?: string,
): Promise<{ request: string; privateKey: string }> {
  const keys = keptKey === undefined ? await newKeys() : await keysOf(keptKey);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [slugSchema.parse(machineId)] }],
    keys,
    signingAlgorithm: algorithm,
  });
  return { request: pemOf(request), privateKey: await privatePem(keys.privateKey) };
}

/**
 * Signs what a machine asks for with a key of its own. Of the request nothing is taken but the key: name, usage and time are ours.
 * @throws INVALID_INPUT where the request is none, is not of P-256, or was not signed by its own key
 */
export async function signRequest(
  authority: Authority,
  machineId: string,
  requestPem: string,
  options: Validity = {},
): Promise<SignedCertificate> {
  const request = readRequest(requestPem);
  if (!(await request.verify().catch(() => false))) throw badRequest('is not signed by the key that it names');
  return sign(authority, {
    subject: slugSchema.parse(machineId),
    publicKey: await request.publicKey.export(algorithm, ['verify']),
    usages: [ExtendedKeyUsage.clientAuth],
    alternativeNames: [],
    validity: options,
  });
}

/** SHA-256 over the public key of a request, hex: a request that is repeated is told from one with another key by it. */
export function requestKeyHash(requestPem: string): string {
  return createHash('sha256')
    .update(Buffer.from(readRequest(requestPem).publicKey.rawData))
    .digest('hex');
}

/** SHA-256 over a certificate, base64url: 43 characters. PEM: over its first certificate. */
export function fingerprintOf(certificate: string | Buffer): string {
  return createHash('sha256').update(new Certificate(certificate).raw).digest('base64url');
}

/** Every certificate of a PEM text. */
export function certificatesOf(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.map((one) => `${one}\n`) ?? [];
}

export interface CertificateView {
  subject: string;
  serial: string;
  /** ISO. */
  notBefore: string;
  notAfter: string;
  /** Whether two thirds of its life are over: its holder gets the next one. */
  isDue: boolean;
}

/** What the first certificate of a PEM text says of itself. */
export function readCertificate(pem: string, now = new Date()): CertificateView {
  const read = new Certificate(pem);
  const [from, to] = [read.validFromDate.getTime(), read.validToDate.getTime()];
  return {
    subject: /^CN=(.+)$/m.exec(read.subject)?.[1] ?? read.subject,
    serial: serialOf(read.serialNumber),
    notBefore: new Date(from).toISOString(),
    notAfter: new Date(to).toISOString(),
    isDue: now.getTime() >= from + ((to - from) * 2) / 3,
  };
}

/** One form of a serial, whoever tells it. */
export function serialOf(text: string): string {
  return text
    .replaceAll(':', '')
    .toLowerCase()
    .replace(/^0+(?=.)/, '');
}

interface ToSign {
  subject: string;
  publicKey: webcrypto.CryptoKey;
  usages: ExtendedKeyUsage[];
  alternativeNames: JsonGeneralNames;
  validity: Validity;
}

async function sign(authority: Authority, wanted: ToSign): Promise<SignedCertificate> {
  const issuer = new X509Certificate(authority.certificate);
  const { days = certificateDays, now = new Date() } = wanted.validity;
  const { notBefore, notAfter } = span(now, days);
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    // A machine's certificate is none of a server, though one authority signs both.
    new ExtendedKeyUsageExtension(wanted.usages, true),
    await SubjectKeyIdentifierExtension.create(wanted.publicKey),
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
  ];
  if (wanted.alternativeNames.length > 0) extensions.push(new SubjectAlternativeNameExtension(wanted.alternativeNames));
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [wanted.subject] }],
    issuer: issuer.subjectName,
    serialNumber: newSerial(),
    notBefore,
    // What it signs must not outlive it.
    notAfter: notAfter > issuer.notAfter ? issuer.notAfter : notAfter,
    signingAlgorithm: algorithm,
    publicKey: wanted.publicKey,
    signingKey: (await keysOf(authority.privateKey)).privateKey,
    extensions,
  });
  return {
    certificate: `${pemOf(certificate)}${authority.certificate}`,
    serial: serialOf(certificate.serialNumber),
    notAfter: certificate.notAfter.toISOString(),
  };
}

function span(now: Date, days: number): { notBefore: Date; notAfter: Date } {
  // Certificates know no parts of a second.
  const at = Math.floor(now.getTime() / 1000) * 1000;
  return { notBefore: new Date(at - backdatedMs), notAfter: new Date(at + days * dayMs) };
}

/** 16 bytes, positive and without a leading zero, so that every program writes it alike. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

async function keysOf(pem: string): Promise<webcrypto.CryptoKeyPair> {
  const privateKey = createPrivateKey(pem);
  const publicKey = createPublicKey(privateKey);
  return {
    privateKey: privateKey.toCryptoKey(algorithm, true, ['sign']),
    publicKey: publicKey.toCryptoKey(algorithm, true, ['verify']),
  };
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const bytes = Buffer.from(await crypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' }).export({
    format: 'pem',
    type: 'pkcs8',
  }) as string;
}

function pemOf(item: { toString(form: 'pem'): string }): string {
  return `${item.toString('pem').trimEnd()}\n`;
}

function readRequest(pem: string): Pkcs10CertificateRequest {
  let request: Pkcs10CertificateRequest;
  try {
    request = new Pkcs10CertificateRequest(pem);
  } catch (cause) {
    throw badRequest('is no PKCS #10 request in PEM', cause);
  }
  const { name, namedCurve } = request.publicKey.algorithm as { name?: string; namedCurve?: string };
  if (name !== 'ECDSA' || namedCurve !== 'P-256') throw badRequest('is not of an ECDSA key over P-256');
  return request;
}

function badRequest(rule: string, cause?: unknown): DomainError {
  const field = { path: 'request', rule, mend: 'Send what `npm run join` makes.' };
  return new DomainError('INVALID_INPUT', `request ${rule}`, { fields: [field], cause });
}
