import { isMainThread } from 'node:worker_threads';

/** Preloaded into our own parts: stdin is a pipe from `npm start`, and when that closes without a word nobody is left to stop us. */
// Threads load this too, and theirs is an empty stdin that ends at once.
if (isMainThread) {
  process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume();
  (process.stdin as NodeJS.ReadStream & { unref?: () => void }).unref?.();
}
