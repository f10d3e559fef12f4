import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { type Home, readJson, writeJson, writeText } from './home.ts';

export interface Secrets {
  postgresPassword: string;
  redisPassword: string;
  /** What the API seals secrets of senders with: 32 bytes, base64url. */
  secretKey: string;
  /** What secrets of endpoints are sealed with, by the API, and opened by the workers: 32 bytes, base64url. */
  webhookKey: string;
  /** What logins of machines that join are made from: 32 bytes, base64url. */
  machineKey: string;
}

function newSecret(bytes = 24): string {
  return randomBytes(bytes).toString('base64url');
}

/** Made once and kept, mode 0600; Postgres has its password inside the data, so it never changes by itself. */
export function openSecrets(home: Home): Secrets {
  const file = home.path('secrets.json');
  const kept = readJson<Partial<Secrets>>(file);
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
  writeJson(file, secrets, 0o600);
  return secrets;
}

/** The operator's bearer token: the API registers its hash at its first start. */
export function openOperatorToken(home: Home): { file: string; token: string } {
  const file = home.path('operator.token');
  if (!existsSync(file)) writeText(file, `sfr_${newSecret()}\n`, 0o600);
  return { file, token: readFileSync(file, 'utf8').trim() };
}
