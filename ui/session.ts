import type { QueryClient } from '@tanstack/react-query';
import { forgetOwn, isOwnedBy } from './kept.ts';

const channelName = 'soulfra-session';

/** Somebody signed in or out in this tab: nothing of who was here before is shown any more, and the other tabs look who it is. */
export async function signedAnew(queries: QueryClient): Promise<void> {
  const others = new BroadcastChannel(channelName);
  others.postMessage('anew');
  others.close();
  await queries.resetQueries();
}

/** Also what this browser keeps for them goes. */
export async function signedOut(queries: QueryClient): Promise<void> {
  forgetOwn();
  await signedAnew(queries);
}

const isOfMe = ({ queryKey: [operation] }: { queryKey: readonly unknown[] }) => operation === 'GET /v1/me';

/** What another tab did with the session, and another person behind the same browser: their data are not each other's. */
export function watchSession(queries: QueryClient): void {
  new BroadcastChannel(channelName).addEventListener('message', () => {
    void queries.invalidateQueries({ predicate: isOfMe });
  });
  let userId: string | undefined;
  queries.getQueryCache().subscribe((event) => {
    if (event.type !== 'updated' || event.action.type !== 'success' || !isOfMe(event.query)) return;
    const now = (event.query.state.data as { userId: string } | undefined)?.userId;
    const before = userId;
    userId = now;
    if (now !== undefined) isOwnedBy(now);
    if (before !== undefined && now !== before) void queries.resetQueries({ predicate: (query) => !isOfMe(query) });
  });
}
