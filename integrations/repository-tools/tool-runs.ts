import { spawn } from 'node:child_process';

const mostOutput = 32 * 1024 * 1024;
const mostSaid = 64 * 1024;

export type ToolRun = { code: number; stdout: string; stderr: string } | { failed: string };

/**
 * Runs a program to its end, within bounds of time and of what it prints; it leads a group of its own, of which nothing stays.
 * @throws the signal's reason
 */
export async function runTool(
  program: string,
  args: readonly string[],
  { cwd, path, timeoutMs, signal }: { cwd: string; path: string; timeoutMs: number; signal: AbortSignal },
): Promise<ToolRun> {
  signal.throwIfAborted();
  const child = spawn(program, args, {
    cwd,
    // Secrets of this process are none of its business.
    env: { PATH: path, HOME: process.env['HOME'], LC_ALL: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let failed: string | undefined;
  const end = (why: string) => {
    failed ??= why;
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
    }
  };
  const stdout = collect(child.stdout, mostOutput, () => end(`it printed more than ${mostOutput >> 20} MiB`));
  const stderr = collect(child.stderr, mostSaid);
  const late = setTimeout(() => end(`it had not ended after ${timeoutMs / 1000} s`), timeoutMs);
  const leave = () => end('it was given up');
  signal.addEventListener('abort', leave, { once: true });
  try {
    const code = await new Promise<number | null>((resolve) => {
      child.once('error', (err) => {
        failed ??= `it cannot be started: ${err.message}`;
        resolve(null);
      });
      child.once('close', (status, by) => {
        if (status === null) failed ??= `it was ended by ${by}`;
        resolve(status);
      });
    });
    signal.throwIfAborted();
    if (failed !== undefined || code === null) return { failed: failed ?? 'it was ended' };
    return { code, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', leave);
  }
}

/** What comes after the most is dropped. */
function collect(stream: NodeJS.ReadableStream, most: number, tooMuch?: () => void): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= most) chunks.push(chunk);
    else tooMuch?.();
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
