import { useEffect, useState } from 'react';
import { dateTime } from '../format.ts';
import { text } from '../text.ts';

/** Says since when what is shown is old; nothing can be changed meanwhile, and nothing is kept to be sent later. */
export function Offline() {
  const [since, setSince] = useState<number | null>(null);
  useEffect(() => {
    if (!('serviceWorker' in navigator)) return;
    const news = new BroadcastChannel('soulfra-offline');
    news.addEventListener('message', ({ data }: MessageEvent<{ since: number | null }>) =>
      // Many readings make a page: what is shown is as old as the oldest of them.
      setSince((before) => (data.since === null || before === null ? data.since : Math.min(before, data.since))),
    );
    navigator.serviceWorker.register('/service-worker.js').catch((err: unknown) => {
      // Without it the pages work, only not without a network.
      // oxlint-disable-next-line no-console -- nobody has to do anything about it
      console.info('offline:', err instanceof Error ? err.message : err);
    });
    return () => news.close();
  }, []);
  return (
    <div role="status">
      {since !== null && <p className="away">{text.app.offline(dateTime(new Date(since).toISOString()))}</p>}
    </div>
  );
}
