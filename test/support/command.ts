import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../../cli/soulfra.js', import.meta.url));

export interface Ended {
  code: number;
  out: string;
  err: string;
}

/** `soulfra` as a person runs it, with nobody to answer its questions and nothing of this process's environment. */
export function runSoulfra(
  args: readonly string[],
  {
    cwd,
    env,
    lines,
  }: {
    cwd: string;
    env: Record<string, string> /** What stdin holds. Absent: there is none. */;
    lines?: readonly string[];
  },
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [launcher, ...args], {
      cwd,
      env: { PATH: process.env['PATH'], ...env },
      stdio: [lines === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    child.stdin?.end(lines?.map((line) => `${line}\n`).join(''));
    let out = '';
    let err = '';
    child.stdout!.on('data', (text: Buffer) => (out += text.toString()));
    child.stderr!.on('data', (text: Buffer) => (err += text.toString()));
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });
}
