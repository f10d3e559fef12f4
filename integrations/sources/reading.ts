import type { Source } from '../../domain/sources.ts';
import type { GuardedFetch } from '../guarded-fetch.ts';
import { createFeedReader } from './feed.ts';
import type { SourceRead } from './source-reader.ts';

/** The reader of each kind of source. */
export function createSourceReading({ guardedFetch }: { guardedFetch: GuardedFetch }) {
  const feed = createFeedReader({ guardedFetch });
  return (source: Source, cursor: unknown, signal: AbortSignal): Promise<SourceRead> => {
    switch (source.kind) {
      case 'feed':
        return feed.read(source, cursor, signal);
    }
  };
}
