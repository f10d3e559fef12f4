import { sql } from 'kysely';
import { type ChannelKindName, kindsOfService } from '../domain/channel-kinds.ts';
import type { Executor } from './database.ts';

export interface DestinationRef {
  ownerId: string;
  kind: ChannelKindName;
  destination: string;
}

/**
 * Nothing goes there before its server wants it; never sooner than it has said before. What a service counts together (`ofService`)
 * it counts by our address, whoever's the channels are, so that all of them wait.
 */
export async function leaveAlone(
  db: Executor,
  { ownerId, kind, destination }: DestinationRef,
  { seconds, ofService = false, reason }: { seconds: number; ofService?: boolean | undefined; reason: string },
): Promise<void> {
  const prefixes = kindsOfService(kind).map((name) => `${name}:`);
  // Locked in one order: two who are told so at once wait for each other and not for ever.
  await sql`update destinations d set not_before = greatest(not_before, clock_timestamp() + make_interval(secs => ${seconds})),
    reason = ${reason.slice(0, 300)}
    from (select owner_id, key from destinations
      where case when ${ofService} then exists (select from unnest(${prefixes}::text[]) p where starts_with(key, p))
        else owner_id = ${ownerId} and key = ${destination} end
      order by owner_id, key for update) t
    where d.owner_id = t.owner_id and d.key = t.key`.execute(db);
}
