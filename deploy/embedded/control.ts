import { createHash } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDomainError, errorTable } from '../../domain/errors.ts';
import { slugSchema } from '../../domain/ids.ts';
import type { Home } from './home.ts';
import type { PartView } from './parts.ts';

export interface Control {
  parts(): PartView[];
  killMachine(id: string): Promise<{ pid: number }>;
  startMachine(id: string): Promise<void>;
  /** Opens the edge where it is not open yet. */
  openEdge(listen: string | undefined): Promise<{ host: string; port: number; fingerprint: string }>;
  stop(): void;
}

/** A path of a socket may hold about 100 bytes; a deep checkout gets one in the folder for temporary files. */
export function controlSocketPath(home: Home): string {
  const path = home.path('run', 'control.sock');
  if (Buffer.byteLength(path) <= 100) return path;
  return join(tmpdir(), `soulfra-${createHash('sha256').update(path).digest('hex').slice(0, 16)}.sock`);
}

/** A small HTTP on a socket that only this user may open: how the API kills and starts the workers beside it. */
export async function serveControl(path: string, control: Control): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    route(request.method ?? '', request.url ?? '', control).then(
      ({ status, body }) => answer(status, body),
      (err: unknown) => {
        if (isDomainError(err)) answer(errorTable[err.code].status, { code: err.code, detail: err.message });
        else answer(500, { code: 'INTERNAL', detail: err instanceof Error ? err.message : String(err) });
      },
    );
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  chmodSync(path, 0o600);
  return server;
}

async function route(method: string, url: string, control: Control): Promise<{ status: number; body: unknown }> {
  if (method === 'GET' && url === '/parts') return { status: 200, body: { parts: control.parts() } };
  if (method === 'POST' && url === '/stop') {
    control.stop();
    return { status: 202, body: {} };
  }
  const edge = /^\/edge(?:\?listen=([\w.:-]*))?$/.exec(url);
  if (method === 'POST' && edge) return { status: 200, body: await control.openEdge(edge[1] || undefined) };
  const match = /^\/machines\/([^/]+)\/(kill|start)$/.exec(url);
  if (method === 'POST' && match) {
    const id = slugSchema.safeParse(match[1]);
    if (!id.success)
      return { status: 400, body: { code: 'INVALID_INPUT', detail: `not a machine's name: ${match[1]}` } };
    if (match[2] === 'kill') return { status: 200, body: await control.killMachine(id.data) };
    await control.startMachine(id.data);
    return { status: 200, body: {} };
  }
  return { status: 404, body: { code: 'NOT_FOUND', detail: `${method} ${url}` } };
}
