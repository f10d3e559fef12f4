import { sql } from 'kysely';
import { ballotWorkflowId, compositionWorkflowId, inviteWorkflowId } from '../domain/ids.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { type Intent, insertIntent } from './intents.ts';

/** Rows whose workflows should have gone on by now, by noun. */
export interface OverdueRows {
  ballots: number;
  invites: number;
  compositions: number;
}

/** Looked at by one transaction, in no order: more of them that only take long hold up none that is lost. */
const page = 100;
/** What is not done so long after its time is looked at. */
const overdue = sql`interval '5 minutes'`;

/**
 * Workflows that somebody ended, or that were lost with Temporal's database: those of rows that should have gone on are begun anew
 * under the same id, and go on from the row. Where one runs, or has done its work, nothing comes of it. Drops have their own look.
 */
export function createOverdueWorkflowStore(db: Database) {
  return {
    async resume(): Promise<OverdueRows> {
      return db.transaction().execute(async (tx) => ({
        // The discussion, the vote, or the effect is over.
        ballots: await begin(
          tx,
          sql`ballots where ended_at is null and ((state = 'discussion' and opens_at < now() - ${overdue})
            or (state = 'open' and closes_at < now() - ${overdue}) or (state = 'passed' and closed_at < now() - ${overdue}))`,
          (ballotId) => ({ workflowId: ballotWorkflowId(ballotId), type: 'holdBallot', args: [{ ballotId }] }),
        ),
        invites: await begin(
          tx,
          sql`guild_invites where state = 'pending' and expires_at < now() - ${overdue}`,
          (inviteId) => ({
            workflowId: inviteWorkflowId(inviteId),
            type: 'inviteToGuild',
            args: [{ inviteId, continued: true }],
          }),
        ),
        compositions: await begin(
          tx,
          sql`compositions where state = 'composing' and created_at < now() - ${overdue}`,
          (compositionId) => ({
            workflowId: compositionWorkflowId(compositionId),
            type: 'composeDrop',
            args: [{ compositionId }],
          }),
        ),
      }));
    },
  };
}
async function begin(
  tx: DatabaseTransaction,
  rowsThatWait: ReturnType<typeof sql>,
  intentOf: (id: string) => Intent,
): Promise<number> {
  const { rows } = await sql<{ id: string }>`select id from ${rowsThatWait} order by random() limit ${page}`.execute(
    tx,
  );
  for (const { id } of rows) await insertIntent(tx, intentOf(id));
  return rows.length;
}
