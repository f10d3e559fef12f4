import { type Connection, isGrpcServiceError } from '@temporalio/client';
import type { Logger } from 'pino';

/**
 * Which keys the payloads of a namespace are encoded under, kept in the namespace itself: so a worker without one of them learns it
 * before it takes work that it could not read. Ids and times alone; the server keeps such fields for ever, a retired one is empty.
 */

const prefix = 'soulfra.payload-key.';
/** PERMISSION_DENIED and UNIMPLEMENTED of gRPC: a namespace that is somebody else's to change. */
const notOurs = new Set([7, 12]);

export interface AnnouncedKey {
  id: string;
  /** When it first encoded, ISO 8601. */
  since: string;
}

type ToTemporal = Pick<Connection, 'workflowService'>;

/** Those in use, the oldest first; none where the namespace does not say. */
export async function announcedPayloadKeys(connection: ToTemporal, namespace: string): Promise<AnnouncedKey[]> {
  return Object.entries(await dataOf(connection, namespace))
    .filter(([name, since]) => name.startsWith(prefix) && since !== '')
    .map(([name, since]) => ({ id: name.slice(prefix.length), since }))
    .toSorted((a, b) => (a.since < b.since ? -1 : 1));
}

async function dataOf(connection: ToTemporal, namespace: string): Promise<Record<string, string>> {
  try {
    const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
    return namespaceInfo?.data ?? {};
  } catch (err) {
    if (!isNotOurs(err)) throw err;
    return {};
  }
}

const isNotOurs = (err: unknown) => isGrpcServiceError(err) && notOurs.has(Number(err.code));

/** Before a key's first use. Where the namespace may not be changed from here it is used all the same, and workers without it notice late. */
export async function announcePayloadKey(
  connection: ToTemporal,
  { namespace, keyId, log, now = new Date() }: { namespace: string; keyId: string; log: Logger; now?: Date },
): Promise<void> {
  const known = await announcedPayloadKeys(connection, namespace);
  if (known.some(({ id }) => id === keyId)) return;
  try {
    await setKey(connection, namespace, keyId, now.toISOString());
    log.info({ keyId }, 'payloads are encoded under this key from now on');
  } catch (err) {
    if (!isNotOurs(err)) throw err;
    log.error({ err, keyId }, 'the namespace does not tell workers of the key of its payloads');
  }
}

/** Nothing under it has to be read any more, so workers may start without it. */
export async function retirePayloadKey(connection: ToTemporal, namespace: string, keyId: string): Promise<void> {
  await setKey(connection, namespace, keyId, '');
}

const mostTries = 5;

/** The server merges what it is given into what it has, and refuses one of two that change a namespace at the same moment. */
async function setKey(connection: ToTemporal, namespace: string, keyId: string, value: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await connection.workflowService.updateNamespace({
        namespace,
        updateInfo: { data: { [`${prefix}${keyId}`]: value } },
      });
      return;
    } catch (err) {
      if (tries >= mostTries) throw err;
    }
  }
}
