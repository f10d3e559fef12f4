import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DomainError } from '../../domain/errors.ts';
import { mostRingKeys } from '../../domain/key-ring.ts';
import { type Home, readJson, writeDurably, writeText } from './home.ts';
import { isAlive, type ProcessRef, processRef } from './processes.ts';

export interface Secrets {
  postgresPassword: string;
  redisPassword: string;
  /** What the API seals secrets of senders with: 32 bytes, base64url. */
  secretKey: string;
  /** What secrets of endpoints are sealed with, by the API, and opened by the workers: 32 bytes, base64url. */
  webhookKey: string;
  /** What logins of machines that join are made from: 32 bytes, base64url. */
  machineKey: string;
  /** What payloads in Temporal are encoded under: the first encodes, all decode. Absent: the codec was never on here. */
  payloadKeys?: readonly string[];
  /** The keys before, while a rotation is under way: rows may still be sealed under them. */
  secretKeyOld?: string;
  webhookKeyOld?: string;
}

const fileName = 'secrets.json';

function newSecret(bytes = 24): string {
  return randomBytes(bytes).toString('base64url');
}

/** Made once and kept, mode 0600; Postgres has its password inside the data, so it never changes by itself. */
export function openSecrets(home: Home): Secrets {
  const kept = readJson<Partial<Secrets>>(home.path(fileName));
  if (kept?.postgresPassword && kept.redisPassword && kept.secretKey && kept.webhookKey && kept.machineKey)
    return kept as Secrets;
  const secrets = {
    postgresPassword: newSecret(),
    redisPassword: newSecret(),
    secretKey: newSecret(32),
    webhookKey: newSecret(32),
    machineKey: newSecret(32),
    ...kept,
  };
  keep(home, secrets);
  return secrets;
}

/** The ring for payloads, made where there is none yet. */
export function openPayloadKeys(home: Home): readonly string[] {
  const { payloadKeys } = openSecrets(home);
  if (payloadKeys !== undefined) return payloadKeys;
  const made = [newSecret(32)];
  alone(home, () => keep(home, { ...openSecrets(home), payloadKeys: made }));
  return made;
}

/**
 * Puts new keys in the place of those that rows are sealed under, and those beside them: the next start seals all anew and forgets
 * them. A kill leaves the file as it was, or as it is to be.
 * @throws CONFLICT where nothing was started here yet, or the rotation before has not ended: a third key would leave rows without one
 */
export function beginRotation(home: Home): void {
  alone(home, () => {
    const secrets = readJson<Partial<Secrets>>(home.path(fileName));
    if (secrets?.secretKey === undefined || secrets.webhookKey === undefined)
      throw new DomainError('CONFLICT', `${home.dir} has no keys yet: npm start makes them`);
    if (secrets.secretKeyOld !== undefined || secrets.webhookKeyOld !== undefined)
      throw new DomainError(
        'CONFLICT',
        'a rotation is under way already: start npm start (again), which ends it, and then rotate anew',
      );
    const { secretKey: secretKeyOld, webhookKey: webhookKeyOld, payloadKeys } = secrets;
    if (payloadKeys !== undefined && payloadKeys.length >= mostRingKeys)
      throw new DomainError(
        'CONFLICT',
        `${home.path(fileName)} has ${payloadKeys.length} payloadKeys, and no more may be: retire the last (deploy/runbooks/07-rotate-keys.md)`,
      );
    keep(home, {
      ...secrets,
      secretKey: newSecret(32),
      webhookKey: newSecret(32),
      secretKeyOld,
      webhookKeyOld,
      // Histories are not sealed anew, so the ring grows.
      ...(payloadKeys === undefined ? {} : { payloadKeys: [newSecret(32), ...payloadKeys] }),
    });
  });
}

/** Nothing is sealed under the keys before any more. @param sealedUnder the keys under which all is now */
export function endRotation(home: Home, sealedUnder: Pick<Secrets, 'secretKey' | 'webhookKey'>): void {
  alone(home, () => {
    const secrets = readJson<Secrets>(home.path(fileName));
    if (secrets?.secretKey !== sealedUnder.secretKey || secrets.webhookKey !== sealedUnder.webhookKey)
      throw new DomainError('CONFLICT', `${home.path(fileName)} was changed meanwhile, so the keys before are kept`);
    const { secretKeyOld: _secretKey, webhookKeyOld: _webhookKey, ...rest } = secrets;
    keep(home, rest);
  });
}

function keep(home: Home, secrets: Partial<Secrets>): void {
  writeDurably(home.path(fileName), `${JSON.stringify(secrets, null, 2)}\n`, 0o600);
}

/** Two that read, change and write the same file would lose one's keys, and whatever is sealed under them. */
function alone(home: Home, work: () => void): void {
  const lock = home.path('run', 'secrets.lock');
  const holder = existsSync(lock) ? holderOf(lock) : undefined;
  if (holder !== undefined && isAlive(holder))
    throw new DomainError('CONFLICT', `process ${holder.pid} changes the keys at this moment`);
  // Of one that was killed.
  rmSync(lock, { force: true });
  writeFileSync(lock, JSON.stringify(processRef(process.pid) ?? null), { flag: 'wx', mode: 0o600 });
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function holderOf(lock: string): ProcessRef | undefined {
  try {
    return (JSON.parse(readFileSync(lock, 'utf8')) as ProcessRef | null) ?? undefined;
  } catch {
    // Killed before it was written, so whoever it was has changed nothing.
    return undefined;
  }
}

/** The operator's bearer token: the API registers its hash at its first start. */
export function openOperatorToken(home: Home): { file: string; token: string } {
  const file = home.path('operator.token');
  if (!existsSync(file)) writeText(file, `sfr_${newSecret()}\n`, 0o600);
  return { file, token: readFileSync(file, 'utf8').trim() };
}
