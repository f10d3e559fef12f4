import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { Connection } from '@temporalio/client';
import { Redis } from 'ioredis';
import type { ServerTls } from '../config/tls.ts';
import type { Reading } from '../domain/doctor.ts';
import type { RedisReading, TemporalReading } from '../domain/doctor-services.ts';
import { coordinationQueue } from '../domain/task-queues.ts';

/** What a reader saw, or why it could not. */
export async function reading<T>(read: () => Promise<T>): Promise<Reading<T>> {
  try {
    return { seen: await read() };
  } catch (err) {
    return { error: wordsOf(err) };
  }
}

/** Several addresses of one name each fail by themselves, and the whole then has no message. */
function wordsOf(err: unknown): string {
  if (err instanceof AggregateError && err.message === '') return err.errors.map(wordsOf).join('; ');
  if (!(err instanceof Error)) return String(err);
  const { code } = err as NodeJS.ErrnoException;
  const message = err.message.split('\n')[0] ?? '';
  return message !== '' ? message : (code ?? err.name);
}

export async function readRedis(url: string, timeoutMs: number, tls?: ConnectionOptions): Promise<RedisReading> {
  const redis = new Redis(url, {
    ...(tls && { tls }),
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let broke: unknown;
  redis.on('error', (err: unknown) => (broke = err));
  try {
    await redis.connect();
    const fields = new Map(
      (await redis.info()).split(/\r?\n/).flatMap((line): Array<[string, string]> => {
        const at = line.indexOf(':');
        return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
      }),
    );
    return {
      version: fields.get('redis_version') ?? '0',
      maxMemory: Number(fields.get('maxmemory') ?? 0),
      policy: fields.get('maxmemory_policy') ?? 'noeviction',
      persists: fields.get('aof_enabled') === '1',
    };
  } catch (err) {
    // "Connection is closed." says less than why it was closed.
    throw broke ?? err;
  } finally {
    redis.disconnect();
  }
}

/** NOT_FOUND of gRPC. */
const notFound = 5;

export async function readTemporal(
  address: string,
  namespace: string,
  { timeoutMs, pid, tls }: { timeoutMs: number; pid: number | undefined; tls: ServerTls['temporal'] | undefined },
): Promise<TemporalReading> {
  const connection = await Connection.connect({ address, connectTimeout: timeoutMs, ...(tls && { tls }) });
  try {
    return await connection.withDeadline(Date.now() + timeoutMs * 2, async () => {
      const { serverVersion } = await connection.workflowService.getSystemInfo({});
      const listed = await connection.workflowService.listNamespaces({ pageSize: 100 });
      const namespaces = listed.namespaces.map(({ namespaceInfo }) => namespaceInfo?.name ?? '');
      const described = await connection.workflowService.describeNamespace({ namespace }).catch((err: unknown) => {
        if ((err as { code?: number }).code === notFound) return undefined;
        throw err;
      });
      const server = { server: serverVersion, namespaces: namespaces.filter((name) => name !== 'temporal-system') };
      if (described === undefined) return server;
      const attributes = await connection.operatorService.listSearchAttributes({ namespace });
      const { activityTaskQueuePartitions } = await connection.workflowService.listTaskQueuePartitions({
        namespace,
        taskQueue: { name: coordinationQueue },
      });
      const settings = pid === undefined ? undefined : settingsOf(pid);
      return {
        ...server,
        namespace: {
          retentionSeconds: Number(described.config?.workflowExecutionRetentionTtl?.seconds ?? 0),
          searchAttributes: Object.keys(attributes.customAttributes ?? {}),
          updates: described.namespaceInfo?.capabilities?.syncUpdate ?? true,
        },
        partitions: activityTaskQueuePartitions.length,
        ...(settings === undefined ? {} : { settings }),
      };
    });
  } finally {
    await connection.close();
  }
}

/** Dynamic settings on the command line of the server that `npm start` runs. */
function settingsOf(pid: number): Record<string, string> | undefined {
  if (process.platform !== 'linux') return undefined;
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return Object.fromEntries(
    words.flatMap((word, i): Array<[string, string]> => {
      const [name, value] = words[i + 1]?.split('=') ?? [];
      return word === '--dynamic-config-value' && name !== undefined && value !== undefined ? [[name, value]] : [];
    }),
  );
}
