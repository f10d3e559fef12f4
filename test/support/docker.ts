import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lacks } from './not-run.ts';

/** The shell of the image: static, so that it needs nothing else in there. */
const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path));

/** For `describe.skipIf`: whether a Docker with compose answers here, and an image can be made without fetching one. */
export function lacksDocker(test: string): boolean {
  const answers = (program: string, ...args: string[]) => spawnSync(program, args, { timeout: 10_000 }).status === 0;
  const has =
    busybox !== undefined &&
    answers('docker', 'info') &&
    (answers('docker', 'compose', 'version') || answers('docker-compose', 'version'));
  const needs = 'a Docker that answers, with compose, and busybox';
  return lacks(
    { test, needs, command: 'sudo apt-get install docker.io docker-compose busybox-static', excused: true },
    has,
  );
}

/** An image of a shell and nothing else. */
export function importShellImage(name: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-image-'));
  try {
    for (const part of ['bin', 'tmp']) mkdirSync(join(folder, part));
    copyFileSync(busybox!, join(folder, 'bin/busybox'));
    const tar = spawnSync('tar', ['-C', folder, '-c', '.'], { maxBuffer: 64 << 20 });
    docker(['import', '-', name], tar.stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns what it said */
export function docker(args: readonly string[], input?: Buffer): string {
  const done = spawnSync('docker', args, { timeout: 120_000, ...(input && { input }) });
  if (done.status !== 0) throw new Error(`docker ${args.join(' ')}: ${done.stderr.toString()}`);
  return done.stdout.toString().trim();
}
