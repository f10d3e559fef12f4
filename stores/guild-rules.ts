import { sql } from 'kysely';
import type { GuildRule } from '../domain/guild-rules.ts';
import { DomainError } from '../domain/errors.ts';
import type { DatabaseTransaction } from './database.ts';
import { lockGuild, recordGuildEvent } from './guild-rows.ts';
import { endGuild, guildSettings, setSeats } from './guilds.ts';

/** What a ballot of a guild's members does to it, in the transaction that writes down that it is done. */
interface Decided {
  guildId: string;
  ballotId: string;
}

/** Sets a rule, and ends the one of its name before it. @throws CONFLICT where the guild is closed, or more seats are taken · INVALID_INPUT */
export async function ruleGuild(
  tx: DatabaseTransaction,
  { guildId, ballotId }: Decided,
  { name, value }: GuildRule,
): Promise<void> {
  const guild = await lockOpenGuild(tx, guildId);
  if (name === 'seats') await setSeats(tx, guild, value, await guildSettings(tx));
  await sql`update guild_rules set ended_at = clock_timestamp()
    where guild_id = ${guildId} and name = ${name} and ended_at is null`.execute(tx);
  await tx
    .insertInto('guildRules')
    .values({ ballotId, guildId, name, value: JSON.stringify(value) })
    .execute();
  const data = { rule: name, value, ballotId };
  await recordGuildEvent(tx, guild, { action: 'ruled', actor: null, subject: guildId, data });
}

/** @returns ids of invitations that ended with it @throws CONFLICT where it is closed already */
export async function closeGuildByBallot(tx: DatabaseTransaction, { guildId, ballotId }: Decided): Promise<string[]> {
  return endGuild(tx, await lockOpenGuild(tx, guildId), { actor: null, ballotId });
}

async function lockOpenGuild(tx: DatabaseTransaction, id: string) {
  const guild = await lockGuild(tx, id);
  if (guild.state !== 'open') throw new DomainError('CONFLICT', `${id} is ${guild.state}`);
  return guild;
}
