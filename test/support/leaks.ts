import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll } from 'vitest';

/** Kept-alive sockets of `fetch` close after 4 s, gRPC channels within a second. */
const settleMs = 8000;
const watched = ['ProcessWrap', 'TCPServerWrap', 'TCPSocketWrap'] as const;

const before = count();

/** Runs in every test file: what the file opened it has to close. */
afterAll(async () => {
  const deadline = Date.now() + settleMs;
  while (leaked().length > 0 && Date.now() < deadline) await sleep(100);
  const left = leaked();
  if (left.length > 0) throw new Error(`this file left open: ${left.join(', ')}`);
}, settleMs + 5000);

function count(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

function leaked(): string[] {
  const now = count();
  return watched.flatMap((kind) => {
    const more = (now.get(kind) ?? 0) - (before.get(kind) ?? 0);
    return more > 0 ? [`${more} ${kind}`] : [];
  });
}
