import { existsSync, statfsSync, statSync } from 'node:fs';
import type { DiskReading } from '../../domain/doctor.ts';

const gib = 2 ** 30;

/** The file systems that these folders lie on, each once, under the first folder that is on it. */
export function readDisks(paths: readonly string[]): DiskReading[] {
  const seen = new Set<number>();
  return paths.flatMap((path) => {
    if (!existsSync(path)) return [];
    const device = statSync(path).dev;
    if (seen.has(device)) return [];
    seen.add(device);
    const { bavail, blocks, bsize } = statfsSync(path);
    return [{ path, freeGiB: (bavail * bsize) / gib, totalGiB: (blocks * bsize) / gib }];
  });
}
