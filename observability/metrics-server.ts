import { createServer } from 'node:http';
import { once } from 'node:events';
import type { Registry } from 'prom-client';
import { DomainError } from '../domain/errors.ts';

/**
 * Serves a registry at `/metrics`, without a sign-in: for an address that only Prometheus reaches.
 * @param refresh brings gauges up to date before each answer
 * @throws CONFLICT where another process has the port
 */
export async function serveMetrics(options: {
  registry: Registry;
  host: string;
  port: number;
  refresh?: () => void | Promise<void>;
}): Promise<{ port: number; close(): Promise<void> }> {
  const { registry, host, port, refresh } = options;
  const server = createServer((request, response) => {
    if (request.url !== '/metrics' || request.method !== 'GET') {
      response.writeHead(404).end('GET /metrics is all there is here\n');
      return;
    }
    void (async () => {
      try {
        await refresh?.();
        response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
      } catch (err) {
        response.writeHead(500).end(`${err instanceof Error ? err.message : String(err)}\n`);
      }
    })();
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new DomainError('CONFLICT', metricsPortTaken(host, port, cause), { cause });
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** What to do about a port that cannot be had. */
export function metricsPortTaken(host: string, port: number, cause: unknown): string {
  const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return `metrics cannot be served at ${host}:${port} (${why}); name a free port by metrics.port or machines[].metricsPort in fleet.yaml`;
}
