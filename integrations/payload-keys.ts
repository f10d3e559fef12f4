import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, isGrpcServiceError } from '@temporalio/client';
import proto from '@temporalio/proto';
import type { Logger } from 'pino';

/**
 * Which keys the payloads of a namespace are encoded under, kept in the namespace itself: so a worker without one of them learns it
 * before it takes work that it could not read. Ids and times alone; the server keeps such fields for ever, a retired one is empty.
 */

const prefix = 'soulfra.payload-key.';
const { History } = proto.temporal.api.history.v1;
const { Schedule } = proto.temporal.api.schedule.v1;
const { DescribeWorkflowExecutionResponse } = proto.temporal.api.workflowservice.v1;
/** PERMISSION_DENIED and UNIMPLEMENTED of gRPC: a namespace that is somebody else's to change. */
const notOurs = new Set([7, 12]);

export interface AnnouncedKey {
  id: string;
  /** When it first encoded, ISO 8601. */
  since: string;
  /** When a process last said that it encodes by it: each does at its start, and from time to time. */
  last: string;
}

type ToTemporal = Pick<Connection, 'workflowService'>;

/** Those in use, the oldest first; none where the namespace does not say. */
export async function announcedPayloadKeys(connection: ToTemporal, namespace: string): Promise<AnnouncedKey[]> {
  return Object.entries(await dataOf(connection, namespace))
    .filter(([name, times]) => name.startsWith(prefix) && times !== '')
    .map(([name, times]) => {
      const [since = '', last = since] = times.split(' ');
      return { id: name.slice(prefix.length), since, last };
    })
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

/** Many processes say it: one of them is enough. */
const saidLately = 10 * 60_000;

/**
 * Before a key's first use, and from time to time while it is used. Where the namespace may not be changed from here it is used all the
 * same, and workers without it notice late.
 */
export async function announcePayloadKey(
  connection: ToTemporal,
  { namespace, keyId, log, now = new Date() }: { namespace: string; keyId: string; log: Logger; now?: Date },
): Promise<void> {
  const known = (await announcedPayloadKeys(connection, namespace)).find(({ id }) => id === keyId);
  if (known !== undefined && now.getTime() - Date.parse(known.last) < saidLately) return;
  try {
    await setKey(connection, namespace, keyId, `${known?.since ?? now.toISOString()} ${now.toISOString()}`);
    if (known === undefined) log.info({ keyId }, 'payloads are encoded under this key from now on');
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
      if (tries >= mostTries || isNotOurs(err)) throw err;
      await pause(100 * 2 ** tries * (0.5 + Math.random()));
    }
  }
}

const atOnce = 8;

/**
 * Open workflows whose history has something under this key, or what an activity of theirs last said of how far it is, and Schedules that would begin one with it: each of them ends whoever
 * takes it up without the key.
 * @param most stops once it has found as many
 */
export async function heldUnderKey(
  connection: ToTemporal,
  { namespace, keyId, most = 20 }: { namespace: string; keyId: string; most?: number },
): Promise<string[]> {
  const found: string[] = [];
  const { workflowService } = connection;
  const look = async <One>(list: AsyncIterable<One[]>, holds: (one: One) => Promise<string | undefined>) => {
    for await (const page of list)
      for (let i = 0; i < page.length && found.length < most; i += atOnce) {
        const held = await Promise.all(page.slice(i, i + atOnce).map((one) => holds(one).catch(gone)));
        found.push(...held.filter((name) => name !== undefined));
      }
  };
  await look(
    pagesOf(async (nextPageToken) => {
      const query = "ExecutionStatus = 'Running'";
      const page = await workflowService.listWorkflowExecutions({ namespace, query, nextPageToken });
      return { items: page.executions ?? [], nextPageToken: page.nextPageToken };
    }),
    async ({ execution }) => ((await isOf(execution)) ? `workflow ${execution?.workflowId}` : undefined),
  );
  await look(
    pagesOf(async (nextPageToken) => {
      const page = await workflowService.listSchedules({ namespace, nextPageToken });
      return { items: page.schedules ?? [], nextPageToken: page.nextPageToken };
    }),
    async ({ scheduleId }) => {
      const { schedule } = await workflowService.describeSchedule({ namespace, scheduleId: scheduleId ?? null });
      return schedule && names(Schedule.encode(schedule).finish()) ? `Schedule ${scheduleId}` : undefined;
    },
  );
  return found;

  async function isOf(execution: proto.temporal.api.common.v1.IWorkflowExecution | null | undefined) {
    // No event has what an activity says while it is under way, and its next try is given it.
    const described = await workflowService.describeWorkflowExecution({ namespace, execution: execution ?? null });
    if (names(DescribeWorkflowExecutionResponse.encode(described).finish())) return true;
    const pages = pagesOf(async (nextPageToken) => {
      const asked = { namespace, execution: execution ?? null, nextPageToken };
      const page = await workflowService.getWorkflowExecutionHistory(asked);
      return { items: page.history ? [page.history] : [], nextPageToken: page.nextPageToken };
    });
    for await (const page of pages) if (page.some((history) => names(History.encode(history).finish()))) return true;
    return false;
  }

  /** The id stands in the clear beside each payload that was encoded by the key. */
  function names(bytes: Uint8Array): boolean {
    return Buffer.from(bytes).includes(keyId);
  }
}

/** NOT_FOUND of gRPC: it ended while it was looked at, or the list lags behind. */
function gone(err: unknown): undefined {
  if (!isGrpcServiceError(err) || Number(err.code) !== 5) throw err;
}

interface Page<One> {
  items: One[];
  nextPageToken?: Uint8Array | null;
}

async function* pagesOf<One>(read: (nextPageToken: Uint8Array) => Promise<Page<One>>): AsyncGenerator<One[]> {
  let token: Uint8Array | null | undefined = new Uint8Array();
  do {
    const page: Page<One> = await read(token);
    yield page.items;
    token = page.nextPageToken;
  } while (token && token.length > 0);
}
