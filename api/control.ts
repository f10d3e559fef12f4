import { request } from 'node:http';
import { z } from 'zod';
import { DomainError, type ErrorCode, errorTable } from '../domain/errors.ts';

/** The edge may have to come up first. */
const timeoutMs = 40_000;
const refusalSchema = z.object({
  code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
  detail: z.string(),
});

/** Has `npm start` stop or start the worker of a machine; elsewhere whoever runs the worker does that. */
export async function controlMachine(
  socketPath: string | undefined,
  machineId: string,
  verb: 'kill' | 'start',
): Promise<void> {
  if (socketPath === undefined) {
    throw new DomainError('CONFLICT', `only \`npm start\` can ${verb} a worker: here whoever started it has to`);
  }
  await ask(socketPath, `/machines/${machineId}/${verb}`);
}

const edgeSchema = z.object({ host: z.string(), port: z.int(), fingerprint: z.string() });

/** Has `npm start` open the port where machines of other boxes come in. @param listen which address; absent: as it was, or the only one */
export async function openEdge(
  socketPath: string | undefined,
  listen: string | undefined,
): Promise<z.infer<typeof edgeSchema>> {
  if (socketPath === undefined) {
    throw new DomainError(
      'CONFLICT',
      'only a fleet that `npm start` runs lets machines in by invitation: elsewhere they are given their certificates by who deploys them',
    );
  }
  const body = await ask(socketPath, `/edge${listen === undefined ? '' : `?listen=${listen}`}`);
  return edgeSchema.parse(parsed(body));
}

/** @throws what the supervisor refused, in its words */
async function ask(socketPath: string, path: string): Promise<string> {
  const { status, body } = await post(socketPath, path);
  if (status < 300) return body;
  const refusal = refusalSchema.safeParse(parsed(body));
  throw refusal.success
    ? new DomainError(refusal.data.code, refusal.data.detail)
    : new DomainError('UNAVAILABLE', `the supervisor answered ${status}`);
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Not ours to understand: the status says enough.
    return undefined;
  }
}

function post(socketPath: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const unreachable = (cause: unknown) =>
      reject(new DomainError('UNAVAILABLE', 'the supervisor does not answer', { cause }));
    const call = request({ socketPath, path, method: 'POST', timeout: timeoutMs }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 500, body: Buffer.concat(pieces).toString('utf8') }),
      );
      response.on('error', unreachable);
    });
    call.on('timeout', () => call.destroy(new Error('timed out')));
    call.on('error', unreachable);
    call.end();
  });
}
