import type { DropsSource, GuildSource, PolledSource } from '../../domain/sources.ts';
import type { GuardedFetch } from '../guarded-fetch.ts';
import { createFeedReader } from './feed.ts';
import { createFolderReader, type FolderReaderOptions } from './folder.ts';
import type { ReadFrom, SourceRead, SourceReader } from './source-reader.ts';

export type ReadSource = (source: PolledSource, from: ReadFrom) => Promise<SourceRead>;

/** The reader of each kind of source that is polled. */
export function createSourceReading(options: {
  guardedFetch: GuardedFetch;
  folders: FolderReaderOptions;
  drops: SourceReader<DropsSource>;
  guilds: SourceReader<GuildSource>;
}): ReadSource {
  const feed = createFeedReader(options);
  const folder = createFolderReader(options.folders);
  return (source, from) => {
    switch (source.kind) {
      case 'feed':
        return feed.read(source, from);
      case 'folder':
        return folder.read(source, from);
      case 'drops':
        return options.drops.read(source, from);
      case 'guild':
        return options.guilds.read(source, from);
    }
  };
}
