import { z } from 'zod';
import { guildNewsText } from '../domain/guild-news.ts';
import type { GuildSource } from '../domain/sources.ts';
import type { SourceReader } from '../integrations/sources/source-reader.ts';
import type { SourceGuildStore } from '../stores/source-guilds.ts';

/** Of the guild that it was made for. */
const cursorSchema = z.object({ guild: z.string(), seq: z.int() });

/** What has happened in a guild since. */
export function createGuildReader({ guilds }: { guilds: SourceGuildStore }): SourceReader<GuildSource> {
  return {
    async read(source, { ownerId, cursor }) {
      const { guild } = source;
      const parsed = cursorSchema.safeParse(cursor);
      const seq = parsed.success && parsed.data.guild === guild ? parsed.data.seq : 0;
      const limit = source.itemsPerPoll;
      const found = await guilds.after({ ownerId, guildId: guild, seq, limit: limit + 1 });
      const taken = found.slice(0, limit);
      return {
        items: taken.flatMap((news) => {
          const text = guildNewsText(news);
          if (text === undefined) return [];
          return [{ key: `${guild}:${news.seq}`, title: '', text, url: null, publishedAt: news.at, changedAt: null }];
        }),
        cursor: { guild, seq: taken.at(-1)?.seq ?? seq },
        again: { guild, seq },
        left: found.length - taken.length,
        // Each is shown once.
        shownParts: [],
        note: '',
      };
    },
  };
}
