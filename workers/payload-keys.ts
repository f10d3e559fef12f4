import type { Connection } from '@temporalio/client';
import { missingKeys, payloadKeyId, type PayloadSettings } from '../config/payload-codec.ts';
import { announcedPayloadKeys } from '../integrations/payload-keys.ts';

/**
 * Before anything is taken: a worker that lacks a key would fail each piece of work that it takes, and use up its tries.
 * @throws PAYLOAD_KEY_MISSING naming every key that is in use and not here
 */
export async function requirePayloadKeys(
  connection: Pick<Connection, 'workflowService'>,
  namespace: string,
  { keys }: PayloadSettings,
): Promise<void> {
  const held = new Set(keys.map(payloadKeyId));
  const lacking = (await announcedPayloadKeys(connection, namespace)).filter(({ id }) => !held.has(id));
  if (lacking.length > 0) throw missingKeys(lacking.map(({ id }) => id));
}
