import type { Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import { missingKeys, payloadKeyId, type PayloadSettings } from '../config/payload-codec.ts';
import { announcedPayloadKeys } from '../integrations/payload-keys.ts';

/**
 * Before anything is taken: a worker that lacks a key would fail each piece of work that it takes, and use up its tries.
 * @throws PAYLOAD_KEY_MISSING naming every key that is in use and not here
 */
export async function requirePayloadKeys(
  connection: Pick<Connection, 'workflowService'>,
  namespace: string,
  { keys, encodes }: PayloadSettings,
  log: Logger,
): Promise<void> {
  const held = new Set(keys.map(payloadKeyId));
  const announced = await announcedPayloadKeys(connection, namespace);
  const lacking = announced.filter(({ id }) => !held.has(id));
  if (lacking.length > 0) throw missingKeys(lacking.map(({ id }) => id));
  if (announced.length > 0 && !encodes)
    log.warn(
      'payloads of this namespace were encoded, and this worker encodes none: SOULFRA_PAYLOAD_CODEC is off here',
    );
}
