import { expect } from 'vitest';
import { creditsGranted } from '../../domain/postings.ts';
import { archiveUntil } from '../../stores/cluster-backups.ts';
import { createDatabase } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { migrate } from '../../stores/migrate.ts';
import { type ClusterStage, lacksForCluster, openClusterStage } from './cluster-stage.ts';
import { lacks } from './not-run.ts';

const owner = 'usr_owner';

/** For `describe.skipIf`. */
export function lacksClusterPrograms(test: string): boolean {
  const missing = lacksForCluster();
  const command = 'apt-get install postgresql pgbackrest util-linux';
  return lacks({ test, needs: missing.join(', '), command }, missing.length === 0);
}

/** A cluster that runs with a small fleet in it: a ledger, and workflows of Temporal. */
export async function openClusterFleet() {
  const stage: ClusterStage = await openClusterStage();
  await stage.start();
  await migrate(stage.appUrl());
  await stage.query('create table current_executions (run_id bytea)', 'temporal');
  await withDatabase(async (db) => {
    await db.insertInto('users').values({ id: owner, name: 'owner', role: 'operator' }).execute();
    await db.insertInto('dropStops').values({ ownerId: owner }).execute();
  });
  await grant('first');

  async function withDatabase<Result>(
    act: (db: ReturnType<typeof createDatabase>) => Promise<Result>,
  ): Promise<Result> {
    const db = createDatabase({ url: stage.appUrl(), name: 'test', onIdleError: () => undefined });
    try {
      return await act(db);
    } finally {
      await db.destroy();
    }
  }

  /** A transfer of the ledger, and a workflow of Temporal, at about one moment. */
  async function grant(reason: string): Promise<void> {
    const posting = creditsGranted({
      grantId: newId('grant'),
      userId: owner,
      money: { amount: 100, currency: 'EUR' },
      reason,
    });
    await withDatabase((db) =>
      db.transaction().execute((tx) => postTransfers(tx, { ownerId: owner, madeBy: 'test' }, [posting])),
    );
    await stage.query(`insert into current_executions values ('${reason}'::bytea)`, 'temporal');
  }
  const reasons = async () =>
    (await stage.query<{ reason: string }>('select reason from ledger_transfers order by seq')).map(
      (row) => row.reason,
    );
  const executions = async () =>
    (await stage.query<{ id: string }>("select convert_from(run_id, 'UTF8') as id from current_executions", 'temporal'))
      .map(({ id }) => id)
      .toSorted();
  const now = async () => (await stage.query<{ now: Date }>('select clock_timestamp() as now'))[0]!.now.toISOString();
  /** Hands everything so far to the archive. */
  async function handOn(): Promise<void> {
    const [at] = await stage.query<{ segment: string }>(
      'select pg_walfile_name(pg_current_wal_insert_lsn()) as segment',
    );
    await archiveUntil(stage.url('soulfra'), at!.segment, 60_000);
  }
  async function done<Result>(...args: string[]): Promise<Result> {
    const part = await stage.run(args);
    expect(part.failed, part.err).toBeUndefined();
    return part.result as Result;
  }
  const refused = async (...args: string[]) => (await stage.run(args)).failed;
  return { ...stage, owner, grant, reasons, executions, now, handOn, done, refused };
}
export type ClusterFleet = Awaited<ReturnType<typeof openClusterFleet>>;
