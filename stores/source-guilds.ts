import { sql } from 'kysely';
import type { GuildNews } from '../domain/guild-news.ts';
import { DomainError } from '../domain/errors.ts';
import type { Database } from './database.ts';
import { guildSeenBy } from './guild-rows.ts';
import { eventNames, eventPeople } from './queries/guilds.ts';

export interface NumberedNews extends GuildNews {
  seq: number;
  /** ISO. */
  at: string;
}

export function createSourceGuildStore(db: Database) {
  return {
    /**
     * What has happened in a guild after a number of its audit trail, the oldest first. Events are numbered under the guild's
     * row lock, so none is committed behind one that was read.
     * @throws NOT_FOUND where the owner sees no such guild
     */
    async after(input: { ownerId: string; guildId: string; seq: number; limit: number }): Promise<NumberedNews[]> {
      const { ownerId, guildId, seq, limit } = input;
      const { rows: seen } = await sql<{ name: string }>`select g.name from guilds g
        where g.id = ${guildId} and ${guildSeenBy(ownerId)}`.execute(db);
      if (!seen[0]) throw new DomainError('NOT_FOUND', `no guild ${guildId} that you founded or are in`);
      const guild = seen[0].name;
      const { rows } = await sql<Omit<NumberedNews, 'guild' | 'at'> & { at: Date }>`
        select e.seq, e.action, e.reason, e.data, e.at, ${eventNames} from guild_events e ${eventPeople}
        where e.guild_id = ${guildId} and e.seq > ${seq} order by e.seq limit ${limit}`.execute(db);
      return rows.map(({ at, ...row }) => ({ ...row, guild, at: at.toISOString() }));
    },
  };
}
export type SourceGuildStore = ReturnType<typeof createSourceGuildStore>;
