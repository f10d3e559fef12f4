import { statfs } from 'node:fs/promises';
import type { Logger } from 'pino';

const everyMs = 30_000;

/** Watches how much of the data folder's disk is free to us; before a host has one, the disk of the current folder. */
export function watchDisk({ folder, log }: { folder: string; log: Logger }) {
  let free: number | undefined;

  async function look(): Promise<void> {
    try {
      const { bavail, blocks } = await statfs(folder).catch(() => statfs('.'));
      // Some file trees of a cloud have no blocks to count.
      free = blocks === 0 ? undefined : bavail / blocks;
    } catch (err) {
      free = undefined;
      log.warn({ err }, 'free room on the disk not read');
    }
  }

  void look();
  const timer = setInterval(() => void look(), everyMs);
  return {
    /** 0 to 1; undefined: not known. */
    free: () => free,
    stop: () => clearInterval(timer),
  };
}
