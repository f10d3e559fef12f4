import { readFileSync } from 'node:fs';
import { DomainError } from '../domain/errors.ts';
import type { PrincipalStore } from '../stores/principals.ts';

/** The first start makes the operator; the secret in the file that `npm start` keeps signs in as them. */
export async function bootstrap(
  principals: PrincipalStore,
  tokenFile: string | undefined,
): Promise<{ ownerId: string; created: boolean }> {
  const operator = await principals.ensureOperator();
  if (tokenFile === undefined) return operator;
  let secret: string;
  try {
    secret = readFileSync(tokenFile, 'utf8').trim();
  } catch (cause) {
    throw new DomainError('INVALID_INPUT', `SOULFRA_BOOTSTRAP_TOKEN_FILE ${tokenFile} cannot be read`, { cause });
  }
  if (!/^[\w.~+/=-]{24,256}$/.test(secret)) {
    throw new DomainError(
      'INVALID_INPUT',
      `${tokenFile} must hold one secret of at least 24 letters, digits or -_.~+/=`,
    );
  }
  await principals.register(secret, {
    ownerId: operator.ownerId,
    kind: 'bearer',
    role: 'operator',
    name: 'first operator',
  });
  return operator;
}
