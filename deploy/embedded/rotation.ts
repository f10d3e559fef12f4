import { DomainError } from '../../domain/errors.ts';
import { keyRingText } from '../../domain/key-ring.ts';
import type { ApiClient } from './api-client.ts';
import { type Env, given, type Home } from './home.ts';
import type { Screen } from './screen.ts';
import { endRotation, openPayloadKeys, type Secrets } from './secrets.ts';

/** The key of now, and the one before while a rotation is under way; nothing where the operator's environment has its own. */
export function keyVariables(env: Env, name: string, key: string, old: string | undefined): Env {
  if (given(env, name)) return {};
  return { [name]: key, ...(old === undefined ? {} : { [`${name}_OLD`]: old }) };
}

/**
 * The ring for payloads, made when the codec is first on, and kept when it is off again: what was encoded is read. Nothing where the
 * operator's environment has its own.
 */
export function payloadVariables(env: Env, home: Home, { payloadKeys }: Secrets): Env {
  if (given(env, 'SOULFRA_PAYLOAD_KEYS')) return {};
  const keys = payloadKeys ?? (env['SOULFRA_PAYLOAD_CODEC'] === 'on' ? openPayloadKeys(home) : undefined);
  return keys === undefined ? {} : { SOULFRA_PAYLOAD_KEYS: keyRingText(keys) };
}

interface Batch {
  resealed: number;
  unreadable: string[];
  next: string | null;
}

/** A pass may meet rows that are changed at that moment; the one after it does not. */
const mostPasses = 5;

/**
 * Ends a rotation that was begun: seals every row anew and forgets the keys before. Before any worker starts, so nobody else changes
 * what is sealed. Where it fails the fleet starts with both keys, and the next start goes on.
 */
export async function finishRotation(
  { home, secrets, env }: { home: Home; secrets: Secrets; env: Env },
  api: ApiClient,
  screen: Screen,
): Promise<void> {
  if (secrets.secretKeyOld === undefined && secrets.webhookKeyOld === undefined) return;
  const step = screen.step('Keys');
  // The API has none of our keys of that kind, so it would leave those rows as they are, under a key that is then forgotten.
  const theirs = ['SOULFRA_SECRET_KEY', 'SOULFRA_WEBHOOK_KEY'].filter((name) => given(env, name));
  if (theirs.length > 0) {
    const many = theirs.length > 1;
    step.fail(
      `${theirs.join(' and ')} of the environment ${many ? 'are in place of keys that rotate' : 'is in place of a key that rotates'}: start once without ${many ? 'them' : 'it'}; all keys of secrets.json are kept`,
    );
    return;
  }
  try {
    const { resealed, unreadable } = await resealAll(api, (rows) => step.progress(`${rows} secrets sealed anew`));
    endRotation(home, secrets);
    const lost =
      unreadable.length === 0 ? '' : `; under neither key, and as unreadable as before: ${unreadable.join(', ')}`;
    step.done(`${resealed} secrets sealed anew, the keys before are forgotten${lost}`);
  } catch (err) {
    step.fail(`${err instanceof Error ? err.message : String(err)}; both keys are kept, and the next start goes on`);
  }
}

async function resealAll(api: ApiClient, onRows: (rows: number) => void): Promise<Omit<Batch, 'next'>> {
  let resealed = 0;
  for (let pass = 0; pass < mostPasses; pass += 1) {
    let inPass = 0;
    const unreadable: string[] = [];
    let from: string | null | undefined;
    while (from !== null) {
      const batch: Batch = await api.post<Batch>('/secrets/reseal', from === undefined ? {} : { from });
      inPass += batch.resealed;
      unreadable.push(...batch.unreadable);
      onRows(resealed + inPass);
      from = batch.next;
    }
    resealed += inPass;
    if (inPass === 0) return { resealed, unreadable };
  }
  throw new DomainError(
    'CONFLICT',
    'rows under the keys before keep coming: another API of the old keys writes to this database',
  );
}
