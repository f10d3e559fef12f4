import { sql } from 'kysely';
import type { LoopManifest } from '../domain/loop-manifest.ts';
import type { Database } from './database.ts';

/** Rows of one kind, by id; `after` is the last id read. What leaves of them is said in domain/public-mirror.ts. */
export type PublicReader = (after: string, limit: number) => Promise<Array<Record<string, unknown> & { id: string }>>;

const iso = (at: Date | null) => (at === null ? null : at.toISOString());

/** What is public now: on offer and not taken down; published on a feed that is still there. */
export function createPublicReading(db: Database) {
  const listings: PublicReader = async (after, limit) => {
    const rows = await db
      .selectFrom('listings')
      .innerJoin('loopPackages', 'loopPackages.id', 'listings.packageId')
      .selectAll('listings')
      .select('loopPackages.manifest')
      .where('listings.state', '=', 'listed')
      .where('listings.takenDown', 'is', null)
      .where('listings.id', '>', after)
      .orderBy('listings.id')
      .limit(limit)
      .execute();
    return rows.map(({ manifest, contentHash, createdAt, changedAt, ...row }) => {
      // Written by us from what was judged.
      const { name, memories, reflections, models } = manifest as unknown as LoopManifest;
      return {
        ...row,
        agentName: name,
        memories,
        reflections,
        models: models.map(({ id }) => id),
        contentHash: contentHash.toString('hex'),
        createdAt: iso(createdAt),
        changedAt: iso(changedAt),
      };
    });
  };

  const feeds: PublicReader = async (after, limit) => {
    const rows = await db
      .selectFrom('channels')
      .select(['id', 'settings', 'createdAt'])
      .where('kind', '=', 'feed')
      .where('removedAt', 'is', null)
      .where('id', '>', after)
      .orderBy('id')
      .limit(limit)
      .execute();
    return rows.map(({ settings, createdAt, ...row }) => ({
      feedUrl: null,
      ...(settings as Record<string, unknown>),
      ...row,
      createdAt: iso(createdAt),
    }));
  };

  const drops: PublicReader = async (after, limit) => {
    const { rows } = await sql<Record<string, unknown> & { id: string; publishedAt: Date }>`
      select d.id, d.channel_id as "feedId", p.title, coalesce(d.text, '') as text, coalesce(a.name, '') as author, d.ended_at as "publishedAt"
      from deliveries d join drops p on p.id = d.drop_id join channels c on c.id = d.channel_id left join agents a on a.id = p.agent_id
      where c.kind = 'feed' and c.removed_at is null and d.state = 'published' and not d.rehearsal and d.id > ${after}
      order by d.id limit ${limit}`.execute(db);
    return rows.map((row) => ({ ...row, publishedAt: iso(row.publishedAt) }));
  };

  return { listings, feeds, drops };
}
export type PublicReading = ReturnType<typeof createPublicReading>;
