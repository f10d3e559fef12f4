import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import { keyRingOf } from '../../domain/key-ring.ts';
import { type Env, readJson } from '../embedded/home.ts';
import type { Secrets } from '../embedded/secrets.ts';

/**
 * What the rows of a data folder were sealed with, and the token that its operator knows. A key that was given to `npm start` by the
 * environment counts before the folder's own, as it did there.
 */
export function secretsOfHome(
  home: string,
  env: Env,
): { secret_key: string; webhook_key: string; operator_token: string } {
  const kept = readJson<Partial<Secrets>>(join(home, 'secrets.json'));
  const tokenFile = join(home, 'operator.token');
  const lacking = [
    ...(kept?.secretKey && kept.webhookKey ? [] : ['secrets.json with its keys']),
    ...(existsSync(tokenFile) ? [] : ['operator.token']),
  ];
  if (lacking.length > 0 || kept?.secretKey === undefined || kept.webhookKey === undefined)
    throw new DomainError('NOT_FOUND', `${home} is no data folder of \`npm start\`: it lacks ${lacking.join(' and ')}`);
  if (kept.secretKeyOld !== undefined || kept.webhookKeyOld !== undefined)
    throw new DomainError(
      'CONFLICT',
      `keys of ${home} rotate, and some rows may still be under the ones before: \`npm start\` once, stop it, and move it then`,
    );
  const rotating = ['SOULFRA_SECRET_KEY_OLD', 'SOULFRA_WEBHOOK_KEY_OLD'].filter((name) => valueOf(env, name));
  if (rotating.length > 0)
    throw new DomainError(
      'CONFLICT',
      `${rotating.join(' and ')} is set, and some rows may still be under the keys before: end the rotation first (deploy/runbooks/07)`,
    );
  return {
    secret_key: valueOf(env, 'SOULFRA_SECRET_KEY') ?? kept.secretKey,
    webhook_key: valueOf(env, 'SOULFRA_WEBHOOK_KEY') ?? kept.webhookKey,
    operator_token: readFileSync(tokenFile, 'utf8').trim(),
  };
}

/** By what its payloads in Temporal are read, if any are encoded. */
export function payloadKeysOfHome(home: string, env: Env): readonly string[] {
  const text = valueOf(env, 'SOULFRA_PAYLOAD_KEYS');
  if (text !== undefined) return keyRingOf(text) ?? [];
  return readJson<Partial<Secrets>>(join(home, 'secrets.json'))?.payloadKeys ?? [];
}

function valueOf(env: Env, name: string): string | undefined {
  const file = env[`${name}_FILE`];
  return env[name] || (file ? readFileSync(file, 'utf8').trim() : undefined);
}
