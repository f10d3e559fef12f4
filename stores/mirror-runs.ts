import { sql } from 'kysely';
import type { MirrorTarget } from '../domain/public-mirror.ts';
import type { Database } from './database.ts';

export interface MirrorRunRef {
  /** Of the time at which it was begun. */
  period: string;
  target: MirrorTarget;
}
const idOf = ({ period, target }: MirrorRunRef) => `${period}-${target}`;
const keptDays = 90;

/** What came of each copy. */
export function createMirrorRunStore(db: Database) {
  return {
    /** Again for a second execution; whatever else of the target is under way was cut off. */
    async begin(ref: MirrorRunRef, ownerId: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await tx
          .updateTable('mirrorRuns')
          .set({ state: 'failed', reason: 'it was cut off', endedAt: sql<Date>`clock_timestamp()` })
          .where('target', '=', ref.target)
          .where('state', '=', 'running')
          .where('id', '<>', idOf(ref))
          .execute();
        await tx
          .insertInto('mirrorRuns')
          .values({ id: idOf(ref), ownerId, target: ref.target })
          .onConflict((conflict) =>
            conflict
              .column('id')
              .doUpdateSet({ state: 'running', reason: '', endedAt: null })
              .where('mirrorRuns.state', '<>', 'done'),
          )
          .execute();
      });
    },
    async done(
      ref: MirrorRunRef,
      figures: { entries: number; bytes: number; written: number; removed: number; sha256: string },
    ): Promise<void> {
      await db
        .updateTable('mirrorRuns')
        .set({ ...figures, state: 'done', reason: '', endedAt: sql<Date>`clock_timestamp()` })
        .where('id', '=', idOf(ref))
        .execute();
      await sql`delete from mirror_runs where ended_at < now() - make_interval(days => ${keptDays})`.execute(db);
    },
    async failed(ref: MirrorRunRef, reason: string): Promise<void> {
      await db
        .updateTable('mirrorRuns')
        .set({ state: 'failed', reason: reason.slice(0, 1_000), endedAt: sql<Date>`clock_timestamp()` })
        .where('id', '=', idOf(ref))
        .where('state', '=', 'running')
        .execute();
    },
  };
}
export type MirrorRunStore = ReturnType<typeof createMirrorRunStore>;
