import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Database } from '../../stores/database.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import type { TestScope } from './isolation.ts';
import { freePorts } from '../../bench/support/fleet-bench.ts';

const main = fileURLToPath(new URL('../../api/main.ts', import.meta.url));

export type ApiProcesses = Awaited<ReturnType<typeof createApiProcesses>>;

/** The shipped API as processes of its own, one after the other on one port, with an operator who calls them. */
export async function createApiProcesses(scope: TestScope, db: Database) {
  const principals = createPrincipalStore(db);
  const { ownerId } = await principals.ensureOperator();
  const token = (await principals.issue({ ownerId, kind: 'bearer', role: 'operator', name: 'test' })).secret;
  const [port] = (await freePorts(1)) as [number];
  const running = new Set<ChildProcess>();

  function call(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    type = 'application/json',
  ): Promise<Response> {
    return fetch(`http://127.0.0.1:${port}/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body }),
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
    } as RequestInit);
  }

  async function start(): Promise<{ kill(): Promise<void> }> {
    const child = spawn(process.execPath, [main], {
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: scope.databaseUrl,
        REDIS_URL: scope.redisUrl,
        TEMPORAL_ADDRESS: scope.temporalAddress,
        TEMPORAL_NAMESPACE: scope.namespace,
        SOULFRA_API_PORT: String(port),
        SOULFRA_LOG_LEVEL: 'fatal',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    running.add(child);
    while ((await call('GET', '/health/live').catch(() => undefined))?.status !== 200) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return {
      async kill() {
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
        running.delete(child);
      },
    };
  }

  return {
    ownerId,
    call,
    start,
    killAll(): void {
      for (const child of running) child.kill('SIGKILL');
    },
  };
}
