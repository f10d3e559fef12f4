import { createPrivateKey } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { DomainError, type FieldError } from '../domain/errors.ts';
import { explainIssues } from '../domain/field-errors.ts';
import { mailAddressOf } from '../domain/mail-addresses.ts';
import { nearest } from '../domain/nearest.ts';
import { notifySecretsOf } from '../domain/notify.ts';
import { mostRingKeys, keyRingOf } from '../domain/key-ring.ts';
import { smtpSettingsOf } from '../domain/smtp-settings.ts';
import { frozen } from './frozen.ts';
import type { PayloadSettings } from './payload-codec.ts';
import type { TlsFiles } from './tls.ts';

/** Read only here: the one place that looks at the process's environment. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Secrets also come as NAME_FILE, the path of a file that holds nothing else. */
const secretNames = [
  'DATABASE_URL',
  'REDIS_URL',
  'SMTP_URL',
  'SOULFRA_BACKUP_PASSPHRASE',
  'SOULFRA_MACHINE_KEY',
  'SOULFRA_MIRROR_URL',
  'SOULFRA_MODEL_KEY',
  'SOULFRA_PAYLOAD_KEYS',
  'SOULFRA_SECRET_KEY',
  'SOULFRA_SECRET_KEY_OLD',
  'SOULFRA_SIGNING_KEY',
  'SOULFRA_TOKEN',
  'STRIPE_SECRET_KEY',
  'STRIPE_WEBHOOK_SECRET',
  'SOULFRA_WEBHOOK_KEY',
  'SOULFRA_WEBHOOK_KEY_OLD',
  'SOULFRA_NOTIFY_SECRETS',
] as const;

const logLevel = z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info');
const address = z.string().regex(/^[^\s:/]+:\d{1,5}$/, 'must be host:port, such as 127.0.0.1:7233');
const publicUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
  .transform((url) => url.replace(/\/+$/, ''));
const port = z.coerce.number().int().min(1).max(65_535);
const key = z
  .string()
  .regex(/^[\w-]{43}$/, 'must be 32 bytes as base64url: 43 characters')
  .optional();
const makeKey = "Make one: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='.";
const keyRing = (first: string) =>
  z.string().refine((text) => keyRingOf(text) !== undefined, {
    error: `must be 1 to ${mostRingKeys} keys, each once, of 32 bytes as base64url (43 characters), apart by commas or lines; ${first}`,
    params: { mend: makeKey },
  });
/** The first seals, all open. */
const sealingKeys = keyRing('the first seals').optional();

/** Whoever is in one of them may say for whom they ask: so no more than a network that the proxy lies in. */
const proxies = z
  .string()
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine(
    (parts) => parts.every(isProxy),
    'must be addresses or CIDRs of the proxy alone (IPv4 /16 or narrower, IPv6 /48 or narrower), apart by commas, such as 127.0.0.1 or 172.20.0.0/24',
  );

const tlsFile = z.string().refine(isReadable, 'must be a file that this user may read').optional();
const tlsNames = ['SOULFRA_TLS_CA_FILE', 'SOULFRA_TLS_CERT_FILE', 'SOULFRA_TLS_KEY_FILE'] as const;

const servers = {
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' }),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'must be a redis:// URL' }),
  TEMPORAL_ADDRESS: address,
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  SOULFRA_LOG_LEVEL: logLevel,
  SOULFRA_METRICS_PORT: port.optional(),
  SOULFRA_METRICS_HOST: z.string().min(1).optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  SOULFRA_LOG_FOLDER: z.string().regex(/^\//, 'must be an absolute path').optional(),
  SOULFRA_TLS_CA_FILE: tlsFile,
  SOULFRA_TLS_CERT_FILE: tlsFile,
  SOULFRA_TLS_KEY_FILE: tlsFile,
};
type TlsVariables = Partial<Record<(typeof tlsNames)[number] | 'DATABASE_URL' | 'REDIS_URL', string | undefined>>;

/** All three or none; and where they are, no address may say that the server is reached in the clear. */
function tlsRules(env: TlsVariables, context: z.RefinementCtx): void {
  const lacking = tlsNames.filter((name) => env[name] === undefined);
  if (lacking.length === tlsNames.length) return;
  const refuse = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message });
  for (const name of lacking) refuse(name, `must be set where another of ${tlsNames.join(', ')} is`);
  if (env.REDIS_URL?.startsWith('redis:'))
    refuse('REDIS_URL', 'must be a rediss:// URL where SOULFRA_TLS_CA_FILE is set');
  // pg takes what the URL says before all else.
  if (/[?&](?:ssl|sslmode|sslcert|sslkey|sslrootcert|sslnegotiation)=/.test(env.DATABASE_URL ?? ''))
    refuse('DATABASE_URL', 'must not name ssl parameters where SOULFRA_TLS_CA_FILE is set');
}

/** What Temporal is given may be encoded by a ring of keys (docs/security.md#payloads). */
const payloads = {
  SOULFRA_PAYLOAD_CODEC: z.enum(['on', 'off']).default('off'),
  SOULFRA_PAYLOAD_KEYS: keyRing('the first encodes').optional(),
};
type PayloadVariables = { SOULFRA_PAYLOAD_CODEC: 'on' | 'off'; SOULFRA_PAYLOAD_KEYS?: string | undefined };

function payloadRules(env: PayloadVariables, context: z.RefinementCtx): void {
  if (env.SOULFRA_PAYLOAD_CODEC === 'off' || env.SOULFRA_PAYLOAD_KEYS !== undefined) return;
  context.addIssue({
    code: 'custom',
    path: ['SOULFRA_PAYLOAD_KEYS'],
    message: 'must be set where SOULFRA_PAYLOAD_CODEC is on',
    params: { mend: 'Set SOULFRA_PAYLOAD_KEYS or SOULFRA_PAYLOAD_KEYS_FILE, the same for the API and every worker.' },
  });
}

function payloadSettingsOf(env: PayloadVariables): PayloadSettings {
  return {
    keys: keyRingOf(env.SOULFRA_PAYLOAD_KEYS ?? '') ?? [],
    encodes: env.SOULFRA_PAYLOAD_CODEC === 'on',
  };
}

/** The key before stands beside the one of now, and is another. */
function keyRules(env: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  for (const name of ['SOULFRA_SECRET_KEY', 'SOULFRA_WEBHOOK_KEY']) {
    const [now, old] = [env[name], env[`${name}_OLD`]];
    if (typeof old !== 'string' || (typeof now === 'string' && !keyRingOf(now)?.includes(old))) continue;
    const message = `must stand beside another ${name}: the one of now, under which all is sealed anew`;
    context.addIssue({ code: 'custom', path: [`${name}_OLD`], message });
  }
}

const apiSchema = z
  .object({
    ...servers,
    ...payloads,
    SOULFRA_API_PORT: port.default(17_000),
    SOULFRA_API_HOST: z.string().min(1).default('127.0.0.1'),
    SOULFRA_BOOTSTRAP_TOKEN_FILE: z.string().min(1).optional(),
    SOULFRA_TRUST_PROXY: proxies.optional(),
    SOULFRA_SECRET_KEY: sealingKeys,
    SOULFRA_SECRET_KEY_OLD: key,
    SOULFRA_WEBHOOK_KEY: sealingKeys,
    SOULFRA_WEBHOOK_KEY_OLD: key,
    SOULFRA_SIGNING_KEY: z
      .string()
      .refine(isEd25519, 'must be an Ed25519 private key as PKCS8 PEM, not encrypted')
      .optional(),
    STRIPE_WEBHOOK_SECRET: z
      .string()
      .regex(/^whsec_\S+$/, 'must begin with whsec_')
      .optional(),
    SOULFRA_CONTROL_SOCKET: z.string().min(1).optional(),
    SOULFRA_TEMPORAL_UI: z.url().optional(),
    SOULFRA_PROMETHEUS_URL: z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).optional(),
    SOULFRA_PUBLIC_URL: publicUrl.optional(),
    SOULFRA_HOST_NAME: z.string().min(1).optional(),
  })
  .superRefine(tlsRules)
  .superRefine(payloadRules)
  .superRefine(keyRules);

const workerSchema = z
  .object({
    ...servers,
    ...payloads,
    SOULFRA_SOURCE_FOLDERS: z
      .string()
      .regex(/^\/[^:]*(?::\/[^:]*)*$/, 'must be absolute paths, apart by colons')
      .optional(),
    /** Set by `npm start` where both databases are its own: their data lies in SOULFRA_HOME. */
    SOULFRA_EMBEDDED: z.literal('yes').optional(),
    SOULFRA_MODEL_KEY: z.string().min(1).optional(),
    /** Of the database that mirror.postgres of fleet.yaml fills. */
    SOULFRA_MIRROR_URL: servers.DATABASE_URL.optional(),
    STRIPE_SECRET_KEY: z
      .string()
      .regex(/^[sr]k_(?:test|live)_\S+$/, 'must be a secret or restricted key: sk_live_…, rk_live_… or of test mode')
      .optional(),
    SOULFRA_STRIPE_URL: z.url({ protocol: /^https?$/ }).optional(),
    SOULFRA_HOST_NAME: z.string().min(1).optional(),
    /** Set by `npm run join`, which opens no port. */
    SOULFRA_METRICS: z.literal('off').optional(),
    /** Set by `soulfra deploy`: whose version of the workflows is the current one. */
    SOULFRA_WORKER_VERSION: z.enum(['leads', 'follows']).optional(),
    SOULFRA_WEBHOOK_KEY: sealingKeys,
    SOULFRA_WEBHOOK_KEY_OLD: key,
    SOULFRA_NOTIFY_SECRETS: z
      .string()
      .refine(
        (text) => notifySecretsOf(text) !== undefined,
        'must be JSON by ids of destinations, such as {"ops": {"url": "https://…"}} (docs/notify.md)',
      )
      .optional(),
    SMTP_URL: z
      .string()
      .refine((text) => smtpSettingsOf(text) !== undefined, 'must be smtp://user:password@host:port or smtps://…')
      .optional(),
    SOULFRA_MAILBOX: z.string().regex(/^\//, 'must be an absolute path').optional(),
    SOULFRA_MAIL_FROM: z
      .string()
      .refine((text) => mailAddressOf(text) !== undefined, 'must be one bare mail address, such as market@example.org')
      .optional(),
    SOULFRA_PUBLIC_URL: publicUrl.default('http://127.0.0.1:17000'),
  })
  .refine((env) => env.SMTP_URL === undefined || env.SOULFRA_MAIL_FROM !== undefined, {
    path: ['SOULFRA_MAIL_FROM'],
    error: 'must be set where SMTP_URL is',
  })
  .superRefine(tlsRules)
  .superRefine(payloadRules)
  .superRefine(keyRules);

const cliSchema = z.object({
  SOULFRA_URL: z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).optional(),
  SOULFRA_TOKEN: z.string().min(1).optional(),
  SOULFRA_HOME: z.string().min(1).default('.soulfra'),
});

/** Each by itself: `soulfra doctor` looks at what is set, also where the rest is missing. */
const doctorSchema = z
  .object({
    DATABASE_URL: servers.DATABASE_URL.optional(),
    REDIS_URL: servers.REDIS_URL.optional(),
    TEMPORAL_ADDRESS: servers.TEMPORAL_ADDRESS.optional(),
    TEMPORAL_NAMESPACE: servers.TEMPORAL_NAMESPACE,
    SOULFRA_MODEL_KEY: z.string().min(1).optional(),
    SOULFRA_HOST_NAME: z.string().min(1).optional(),
    SOULFRA_HOME: z.string().min(1).default('.soulfra'),
    SOULFRA_TLS_CA_FILE: tlsFile,
    SOULFRA_TLS_CERT_FILE: tlsFile,
    SOULFRA_TLS_KEY_FILE: tlsFile,
  })
  .superRefine(tlsRules);

const homeSchema = z.object({
  SOULFRA_HOME: z.string().min(1).default('.soulfra'),
  SOULFRA_CACHE: z.string().min(1).optional(),
});

/** What the edge stands before and where it listens; set by `npm start`. */
const edgeSchema = z.object({
  DATABASE_URL: servers.DATABASE_URL,
  REDIS_URL: servers.REDIS_URL,
  TEMPORAL_ADDRESS: address,
  TEMPORAL_NAMESPACE: servers.TEMPORAL_NAMESPACE,
  SOULFRA_HOME: homeSchema.shape.SOULFRA_HOME,
  SOULFRA_EDGE_LISTEN: address,
  /** What logins of machines are made from. */
  SOULFRA_MACHINE_KEY: z.string().regex(/^[\w-]{43}$/, 'must be 32 bytes as base64url: 43 characters'),
});

/** What a machine needs to run services of its owner. */
const serviceSchema = z.object({
  SOULFRA_HOME: homeSchema.shape.SOULFRA_HOME,
  SOULFRA_TRUST_FILE: z.string().regex(/^\//, 'must be an absolute path').optional(),
  SOULFRA_SYSTEMD: z.enum(['system', 'user']).optional(),
  XDG_CONFIG_HOME: z.string().min(1).optional(),
  PATH: z.string().default('/usr/local/bin:/usr/bin:/bin'),
});

const absolutePath = z.string().regex(/^\//, 'must be an absolute path');
/** Where backups lie, and what opens them. */
const backupSchema = z.object({
  SOULFRA_HOME: homeSchema.shape.SOULFRA_HOME,
  SOULFRA_BACKUP_FOLDER: absolutePath.optional(),
  SOULFRA_BACKUP_KEY_FILE: absolutePath.optional(),
  SOULFRA_BACKUP_PASSPHRASE: z.string().min(12).optional(),
  SOULFRA_CLUSTER_FILE: absolutePath.optional(),
  XDG_CONFIG_HOME: z.string().min(1).optional(),
});

/** Every name there is, so that a misspelt one is told instead of being read as unset. */
const knownNames = [apiSchema, workerSchema, cliSchema, homeSchema, serviceSchema, backupSchema, edgeSchema]
  .flatMap((schema) => Object.keys(schema.shape))
  .concat(secretNames.map((name) => `${name}_FILE`));

/**
 * @throws INVALID_INPUT with every variable that breaks its rule; no message repeats a value, since many are secrets
 */
function read<Schema extends z.ZodType>(schema: Schema, variables: Variables): z.infer<Schema> {
  const { values, errors } = withSecretFiles(variables);
  const parsed = schema.safeParse(values);
  // Where the file of a secret was at fault, its absence is no second error.
  const told = new Set(errors.map((error) => error.path.replace(/_FILE$/, '')));
  const issues = explainIssues(parsed.error?.issues ?? [], values, { hideValues: true }).filter(
    ({ path }) => !told.has(path),
  );
  const fields: FieldError[] = [
    ...errors,
    ...issues.map(({ path, rule, mend, about }) =>
      about === 'missing'
        ? { path, rule, mend: `Set ${path}${isSecret(path) ? ` or ${path}_FILE` : ''}.` }
        : { path, rule, mend },
    ),
    ...misspelt(values),
  ];
  if (fields.length > 0 || !parsed.success) {
    const lines = fields.map(({ path, rule, mend }) => `${path} ${rule}. ${mend}`);
    throw new DomainError('INVALID_INPUT', `environment:\n${lines.join('\n')}`, { fields });
  }
  return parsed.data;
}

function misspelt(values: Readonly<Record<string, string>>): FieldError[] {
  const ours = knownNames.filter((name) => name.startsWith('SOULFRA_')).map((name) => name.slice('SOULFRA_'.length));
  return Object.keys(values).flatMap((name): FieldError[] => {
    if (!name.startsWith('SOULFRA_') || knownNames.includes(name)) return [];
    const meant = nearest(name.slice('SOULFRA_'.length), ours);
    if (meant === undefined) return [];
    return [{ path: name, rule: 'is not known', mend: `Did you mean SOULFRA_${meant}?` }];
  });
}

function withSecretFiles(variables: Variables): { values: Record<string, string>; errors: FieldError[] } {
  const values: Record<string, string> = {};
  const errors: FieldError[] = [];
  // An empty variable is an unset one: compose files write it so.
  for (const [name, value] of Object.entries(variables)) if (value !== undefined && value !== '') values[name] = value;
  for (const name of secretNames) {
    const file = values[`${name}_FILE`];
    if (file === undefined) continue;
    if (values[name] !== undefined) {
      errors.push({ path: name, rule: `and ${name}_FILE are both set`, mend: 'Set one of them.' });
      continue;
    }
    try {
      values[name] = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    } catch (err) {
      const rule = `cannot be read (${(err as NodeJS.ErrnoException).code ?? 'unknown'})`;
      errors.push({ path: `${name}_FILE`, rule, mend: 'Name a file that this user may read.' });
    }
  }
  return { values, errors };
}

/** IPv6 spellings of IPv4: their last 32 bits are the address. */
const mappedIpv4 = new BlockList();
mappedIpv4.addSubnet('::ffff:0.0.0.0', 96, 'ipv6');

function isProxy(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  const [least, most] = family === 4 ? [16, 32] : [mappedIpv4.check(address, 'ipv6') ? 96 + 16 : 48, 128];
  return /^\d{1,3}$/.test(bits) && Number(bits) >= least && Number(bits) <= most;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function isEd25519(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'ed25519';
  } catch {
    // What it is instead must not be told: it may be another secret.
    return false;
  }
}

function isSecret(name: string): boolean {
  return (secretNames as readonly string[]).includes(name);
}

export function apiEnvironment(variables: Variables = process.env) {
  const env = read(apiSchema, variables);
  return frozen({
    ...serverAddresses(env),
    payloads: payloadSettingsOf(env),
    port: env.SOULFRA_API_PORT,
    host: env.SOULFRA_API_HOST,
    trustProxy: env.SOULFRA_TRUST_PROXY,
    secretKey: env.SOULFRA_SECRET_KEY,
    secretKeyOld: env.SOULFRA_SECRET_KEY_OLD,
    webhookKey: env.SOULFRA_WEBHOOK_KEY,
    webhookKeyOld: env.SOULFRA_WEBHOOK_KEY_OLD,
    signingKey: env.SOULFRA_SIGNING_KEY,
    stripeWebhookSecret: env.STRIPE_WEBHOOK_SECRET,
    bootstrapTokenFile: env.SOULFRA_BOOTSTRAP_TOKEN_FILE,
    controlSocket: env.SOULFRA_CONTROL_SOCKET,
    temporalUi: env.SOULFRA_TEMPORAL_UI,
    prometheusUrl: env.SOULFRA_PROMETHEUS_URL,
    publicUrl: env.SOULFRA_PUBLIC_URL,
    hostName: env.SOULFRA_HOST_NAME ?? hostname(),
  });
}

export function workerEnvironment(variables: Variables = process.env) {
  const env = read(workerSchema, variables);
  return frozen({
    ...serverAddresses(env),
    payloads: payloadSettingsOf(env),
    hostName: env.SOULFRA_HOST_NAME ?? hostname(),
    withMetrics: env.SOULFRA_METRICS !== 'off',
    version: env.SOULFRA_WORKER_VERSION,
    sourceFolders: env.SOULFRA_SOURCE_FOLDERS?.split(':') ?? [],
    besideData: env.SOULFRA_EMBEDDED !== undefined,
    outbound: {
      smtpUrl: env.SMTP_URL,
      mailbox: env.SOULFRA_MAILBOX,
      mailFrom: env.SOULFRA_MAIL_FROM ?? 'soulfra@mailbox.invalid',
      publicUrl: env.SOULFRA_PUBLIC_URL,
      webhookKey: env.SOULFRA_WEBHOOK_KEY,
      webhookKeyOld: env.SOULFRA_WEBHOOK_KEY_OLD,
      notifySecrets: env.SOULFRA_NOTIFY_SECRETS,
    },
    ...(env.SOULFRA_MODEL_KEY === undefined ? {} : { modelKey: env.SOULFRA_MODEL_KEY }),
    ...(env.SOULFRA_MIRROR_URL === undefined ? {} : { mirrorUrl: env.SOULFRA_MIRROR_URL }),
    ...(env.STRIPE_SECRET_KEY === undefined
      ? {}
      : { stripe: { secretKey: env.STRIPE_SECRET_KEY, url: env.SOULFRA_STRIPE_URL } }),
  });
}

export function cliEnvironment(variables: Variables = process.env) {
  const env = read(cliSchema, variables);
  return frozen({ url: env.SOULFRA_URL, token: env.SOULFRA_TOKEN, home: env.SOULFRA_HOME });
}

export function doctorEnvironment(variables: Variables = process.env) {
  const env = read(doctorSchema, variables);
  return frozen({
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    temporalAddress: env.TEMPORAL_ADDRESS,
    temporalNamespace: env.TEMPORAL_NAMESPACE,
    tlsFiles: tlsFilesOf(env),
    hostName: env.SOULFRA_HOST_NAME ?? hostname(),
    home: env.SOULFRA_HOME,
    /** Files that hold a secret each. */
    secretFiles: secretNames.flatMap((name) => variables[`${name}_FILE`] || []),
    ...(env.SOULFRA_MODEL_KEY === undefined ? {} : { modelKey: env.SOULFRA_MODEL_KEY }),
  });
}

/** Where data and what was built or downloaded lie. */
export function homeEnvironment(variables: Variables = process.env) {
  const env = read(homeSchema, variables);
  return frozen({ home: env.SOULFRA_HOME, cache: env.SOULFRA_CACHE ?? join(homedir(), '.cache', 'soulfra') });
}

export function edgeEnvironment(variables: Variables = process.env) {
  const env = read(edgeSchema, variables);
  return frozen({
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    temporalAddress: env.TEMPORAL_ADDRESS,
    temporalNamespace: env.TEMPORAL_NAMESPACE,
    home: resolve(env.SOULFRA_HOME),
    listen: env.SOULFRA_EDGE_LISTEN,
    machineKey: env.SOULFRA_MACHINE_KEY,
  });
}

/**
 * How a fleet that `npm start` runs is backed up (docs/backup.md). The folder lies beside the data and the key with neither: what
 * takes the data does not take its backups, and who finds the backups cannot open them.
 */
export function backupEnvironment(variables: Variables = process.env) {
  const env = read(backupSchema, variables);
  const home = resolve(env.SOULFRA_HOME);
  return frozen({
    home,
    folder: env.SOULFRA_BACKUP_FOLDER ?? `${home}-backups`,
    keyFile:
      env.SOULFRA_BACKUP_KEY_FILE ?? join(env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'soulfra', 'backup.key'),
    passphrase: env.SOULFRA_BACKUP_PASSPHRASE,
    /** Of a deployment, whose cluster is backed up as a whole. */
    clusterFile: env.SOULFRA_CLUSTER_FILE,
  });
}

/** How this machine runs services of its owner (docs/services.md). */
export function serviceEnvironment(variables: Variables = process.env) {
  const env = read(serviceSchema, variables);
  const home = resolve(env.SOULFRA_HOME);
  const scope = env.SOULFRA_SYSTEMD ?? (process.geteuid?.() === 0 ? ('system' as const) : ('user' as const));
  const userUnits = join(env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'systemd/user');
  return frozen({
    trustFile: env.SOULFRA_TRUST_FILE ?? join(home, 'trust.yaml'),
    dataFolder: join(home, 'services'),
    scope,
    unitFolder: scope === 'system' ? '/etc/systemd/system' : userUnits,
    /** Where a command is looked for that names no folder. */
    path: env.PATH,
  });
}
export type ServiceEnvironment = ReturnType<typeof serviceEnvironment>;

/** What a service is given of the worker's own variables: those that the trust file names, where they are set. */
export function variablesNamed(names: readonly string[], variables: Variables = process.env): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (variables[name] === undefined ? [] : [[name, variables[name]] as const])),
  );
}

function serverAddresses(env: {
  DATABASE_URL: string;
  REDIS_URL: string;
  TEMPORAL_ADDRESS: string;
  TEMPORAL_NAMESPACE: string;
  SOULFRA_LOG_LEVEL: z.infer<typeof logLevel>;
  SOULFRA_METRICS_PORT?: number | undefined;
  SOULFRA_METRICS_HOST?: string | undefined;
  OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined;
  SOULFRA_LOG_FOLDER?: string | undefined;
  SOULFRA_TLS_CA_FILE?: string | undefined;
  SOULFRA_TLS_CERT_FILE?: string | undefined;
  SOULFRA_TLS_KEY_FILE?: string | undefined;
}) {
  return {
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    temporalAddress: env.TEMPORAL_ADDRESS,
    temporalNamespace: env.TEMPORAL_NAMESPACE,
    logLevel: env.SOULFRA_LOG_LEVEL,
    metricsPort: env.SOULFRA_METRICS_PORT,
    metricsHost: env.SOULFRA_METRICS_HOST,
    traceEndpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
    logFolder: env.SOULFRA_LOG_FOLDER,
    tlsFiles: tlsFilesOf(env),
  };
}

function tlsFilesOf(env: TlsVariables): TlsFiles | undefined {
  const { SOULFRA_TLS_CA_FILE: caFile, SOULFRA_TLS_CERT_FILE: certFile, SOULFRA_TLS_KEY_FILE: keyFile } = env;
  if (caFile === undefined || certFile === undefined || keyFile === undefined) return undefined;
  return { caFile, certFile, keyFile };
}
