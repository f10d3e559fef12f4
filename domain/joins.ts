import { z } from 'zod';
import { slugSchema } from './ids.ts';

/** An invitation works once, within this. */
export const machineInviteSeconds = 15 * 60;
/** Between the clocks of two boxes; certificates are dated back by more. */
export const mostClockOffSeconds = 120;
/** Posted here whenever an invitation or a certificate changes. */
export const machineAccessChannel = 'machine_access';

/** Why the edge turned a connection away; the same words as the SQL check. */
export const edgeRefusals = [
  'plain',
  'untrusted',
  'revoked',
  'unknown_name',
  'crowded',
  'handshake',
  'unanswered',
] as const;
export type EdgeRefusal = (typeof edgeRefusals)[number];

export const certificateKinds = ['authority', 'server', 'machine'] as const;
export type CertificateKind = (typeof certificateKinds)[number];
/** open: may still be used. */
export const machineInviteStates = ['open', 'used', 'expired', 'revoked'] as const;
export const certificateStates = ['living', 'expired', 'revoked'] as const;

/** What the other box is told: where, by what secret, and which authority to trust. */
export interface JoinLink {
  host: string;
  port: number;
  secret: string;
  /** Of the authority's certificate, base64url. */
  fingerprint: string;
}

const secretForm = /^[\w-]{43}$/;

export function joinLinkText({ host, port, secret, fingerprint }: JoinLink): string {
  return `https://${host}:${port}#${secret}.${fingerprint}`;
}

/** @returns undefined for what is no such link */
export function parseJoinLink(text: string): JoinLink | undefined {
  const match = /^https:\/\/([A-Za-z0-9.-]{1,253}):(\d{1,5})\/?#([\w-]+)\.([\w-]+)$/.exec(text.trim());
  if (!match) return undefined;
  const [, host, port, secret, fingerprint] = match as unknown as [string, string, string, string, string];
  if (!secretForm.test(secret) || !secretForm.test(fingerprint) || Number(port) > 65_535) return undefined;
  return { host, port: Number(port), secret, fingerprint };
}

const pem = z.string().max(8_000);

/** What a box sends; its private key stays with it. */
export const joinRequestSchema = z.strictObject({
  secret: z.string().regex(secretForm),
  request: pem,
  app: z.string().max(40),
  /** Hash over what the workflow bundle is made of. */
  workflows: z.string().max(64),
  /** Milliseconds since 1970 by the clock of the box. */
  clock: z.number(),
});

export const renewRequestSchema = z.strictObject({ request: pem });

const loginSchema = z.object({ user: z.string(), password: z.string() });
const certificateSchema = z.object({
  certificate: pem,
  /** Every authority that is trusted now, PEM. */
  trust: z.string().max(64_000),
  notAfter: z.string(),
});

export const joinAnswerSchema = certificateSchema.extend({
  machineId: slugSchema,
  fleet: z.string(),
  namespace: z.string(),
  database: loginSchema.extend({ name: z.string() }),
  redis: loginSchema.extend({ database: z.int() }),
  machine: z.object({
    gpus: z.array(z.object({ name: z.string(), vramGiB: z.number() })),
    modelServer: z.object({ kind: z.string(), url: z.string().nullable() }).nullable(),
    coordinates: z.boolean(),
    /** What its host is called in fleet.yaml. */
    host: z.string(),
  }),
});
export type JoinAnswer = z.infer<typeof joinAnswerSchema>;

export const renewAnswerSchema = certificateSchema;
export type RenewAnswer = z.infer<typeof renewAnswerSchema>;

/** What a machine asks from time to time. */
export const trustAnswerSchema = z.object({
  trust: z.string().max(64_000),
  /** Of the authority that signs now. */
  generation: z.int(),
  /** Of the one that signed the certificate that asks. */
  signedBy: z.int(),
});
export type TrustAnswer = z.infer<typeof trustAnswerSchema>;
