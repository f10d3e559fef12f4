import {
  QueryClient,
  type UseQueryResult,
  infiniteQueryOptions,
  queryOptions,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import { useEffect, useMemo } from 'react';
import {
  type Answer,
  type CallOptions,
  type Input,
  type Item,
  Problem,
  type Reading,
  type Writing,
  call,
} from './client.ts';
import { everyMsOf } from './touched.ts';

/** What the API refuses is refused again; what it does not answer may be there in a moment. */
const mostTries = 2;

export function createQueries(): QueryClient {
  const client = new QueryClient({
    defaultOptions: {
      // Without a network a write fails at once: waiting for it, it would be sent when nobody wants it any more.
      mutations: { networkMode: 'always' },
      queries: {
        // What the service worker keeps is answered without a network, too.
        networkMode: 'always',
        // That alone would leave a gap of the network unread.
        refetchOnReconnect: 'always',
        // Events say when something is old; this is for what no event tells.
        staleTime: 30_000,
        gcTime: 10 * 60_000,
        retry: (tries, err) => err instanceof Problem && (err.status === 0 || err.status >= 500) && tries < mostTries,
      },
    },
  });
  // A session that has ended: the door asks anew who is signed in, and closes. Its own question is not asked again for its own refusal.
  client.getQueryCache().subscribe((event) => {
    if (event.type !== 'updated' || event.action.type !== 'error') return;
    const { error } = event.query.state;
    if (error instanceof Problem && error.status === 401 && event.query.queryKey[0] !== 'GET /v1/me')
      void client.invalidateQueries({ queryKey: ['GET /v1/me'] });
  });
  return client;
}

/**
 * The key of a call begins with its operation: ui/live.ts finds by it what an event makes old.
 * @public
 */
export function apiQuery<Op extends Reading>(operation: Op, input: Input<Op>) {
  return queryOptions<Answer<Op>, Problem>({
    queryKey: [operation, input],
    queryFn: ({ signal }) => call(operation, input, { signal }),
  });
}

interface Watching {
  enabled?: boolean;
  /** For what changes without an event, or too slowly by one. */
  everyMs?: number;
}

interface WatchingOne<Data> extends Watching {
  /** What is over is not asked for again by `everyMs`. */
  isOver?: (data: Data) => boolean;
}

/** Reads a call and keeps it fresh. */
export function useApi<Op extends Reading>(
  operation: Op,
  input: Input<Op>,
  { enabled = true, everyMs = everyMsOf(operation), isOver }: WatchingOne<Answer<Op>> = {},
): UseQueryResult<Answer<Op>, Problem> {
  return useQuery({
    ...apiQuery(operation, input),
    enabled,
    refetchInterval: ({ state: { data, error } }: { state: { data: unknown; error: unknown } }) => {
      // Who may not read it is refused by the next one, too.
      const isRefused = error instanceof Problem && error.status === 403;
      return everyMs === undefined || isRefused || (data !== undefined && isOver?.(data as Answer<Op>))
        ? false
        : everyMs;
    },
  }) as UseQueryResult<Answer<Op>, Problem>;
}

interface Page {
  items: unknown[];
  nextCursor: string | null;
}

/** A list page by page; `rows` are those read so far. Many pages are kept fresh more slowly, so that one is read in `everyMs`. */
export function usePages<Op extends Reading>(
  operation: Op,
  input: Input<Op>,
  { enabled = true, everyMs = everyMsOf(operation) }: Watching = {},
) {
  const query = useInfiniteQuery({
    ...infiniteQueryOptions<Page, Problem, { pages: Page[] }, [Op, Input<Op>, 'pages'], string | null>({
      queryKey: [operation, input, 'pages'],
      initialPageParam: null,
      getNextPageParam: ({ nextCursor }) => nextCursor,
      queryFn: ({ pageParam, signal }) => {
        const { query: asked } = input as { query?: object };
        const page = { ...input, query: { ...asked, ...(pageParam === null ? {} : { cursor: pageParam }) } };
        return call(operation, page as Input<Op>, { signal }) as Promise<Page>;
      },
    }),
    enabled,
    refetchInterval: ({ state: { data } }: { state: { data: { pages: unknown[] } | undefined } }) =>
      everyMs === undefined ? false : everyMs * Math.max(1, data?.pages.length ?? 0),
  });
  const rows = useMemo(
    () => query.data?.pages.flatMap((page) => page.items) as Array<Item<Op>> | undefined,
    [query.data],
  );
  return { ...query, rows };
}

/** A whole list, however many pages it has; `isWhole` says whether all are read. */
export function useAllPages<Op extends Reading>(operation: Op, input: Input<Op>, watching: Watching = {}) {
  const pages = usePages(operation, input, watching);
  const { hasNextPage, isFetching, isFetchNextPageError, fetchNextPage } = pages;
  useEffect(() => {
    // What failed is not asked again at once: that would go on as fast as the network answers.
    if (hasNextPage && !isFetching && !isFetchNextPageError) void fetchNextPage();
  }, [hasNextPage, isFetching, isFetchNextPageError, fetchNextPage]);
  return { ...pages, isWhole: pages.rows !== undefined && !hasNextPage };
}

/** A write; what it touches is read again by the event that it makes, or by `touches` where there is none. */
export function useWrite<Op extends Writing>(operation: Op, { touches = [] }: { touches?: readonly Reading[] } = {}) {
  const client = useQueryClient();
  return useMutation<Answer<Op>, Problem, Input<Op> & { options?: CallOptions }>({
    mutationFn: ({ options, ...input }) => call(operation, input as unknown as Input<Op>, options),
    onSuccess: () => {
      // Not waited for: what is written is written, and a reading that hangs must not hold a dialog shut.
      for (const reading of touches) void client.invalidateQueries({ queryKey: [reading] });
    },
  });
}
