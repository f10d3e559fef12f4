import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Env } from './home.ts';
import { removedExitCode } from '../../domain/health.ts';
import type { PartSpec } from './parts.ts';

/** Arguments of node for a process of ours that is to end when the one that holds its stdin is gone. */
export const leaveWithParent = ['--import', new URL('./leave-with-parent.ts', import.meta.url).href];

const workerPrefix = 'worker-';
export const workerPartName = (machineId: string) => `${workerPrefix}${machineId}`;
/** The machine whose worker a part is; undefined for the others. */
export const machineOfPart = (part: string) =>
  part.startsWith(workerPrefix) ? part.slice(workerPrefix.length) : undefined;

export const edgePartName = 'edge';

export function apiPart(options: { root: string; url: string; env: Env }): PartSpec {
  return {
    name: 'api',
    order: 3,
    command: process.execPath,
    args: [...leaveWithParent, 'api/main.ts'],
    cwd: options.root,
    env: options.env,
    stopSignal: 'SIGTERM',
    graceMs: 10_000,
    startAttempts: 2,
    readyWithinMs: 60_000,
    ready: () => isReady(`${options.url}/v1/health/ready`),
  };
}

export function workerPart(options: { root: string; machineId: string; env: Env }): PartSpec {
  return {
    name: workerPartName(options.machineId),
    order: 4,
    command: process.execPath,
    args: [...leaveWithParent, 'workers/main.ts', '--machine', options.machineId],
    cwd: options.root,
    env: options.env,
    stopSignal: 'SIGTERM',
    graceMs: 30_000,
    startAttempts: 1,
    readyWithinMs: 10_000,
    leavesWith: removedExitCode,
  };
}

/** Where machines of other boxes come in. */
export function edgePart(options: { root: string; listen: { address: string; port: number }; env: Env }): PartSpec {
  const { address, port } = options.listen;
  return {
    name: edgePartName,
    order: 3,
    command: process.execPath,
    args: [...leaveWithParent, 'deploy/join/edge-main.ts'],
    cwd: options.root,
    env: { ...options.env, SOULFRA_EDGE_LISTEN: `${address}:${port}` },
    stopSignal: 'SIGTERM',
    graceMs: 10_000,
    startAttempts: 2,
    readyWithinMs: 30_000,
    ready: () => accepts(address === '0.0.0.0' ? '127.0.0.1' : address, port),
  };
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

export async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    // Not listening yet.
    return false;
  }
}

export const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');
