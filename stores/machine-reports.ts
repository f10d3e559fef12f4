import { sql } from 'kysely';
import type { MachineReport } from '../domain/doctor-machines.ts';
import type { Database, Executor } from './database.ts';

export interface StoredReport {
  machineId: string;
  report: MachineReport;
  ageSeconds: number;
}

export function createMachineReportStore(db: Database) {
  return {
    /** How far this process's clock stands from the database's, and how exactly that is known. */
    async clockOffset(): Promise<{ offsetMs: number; roundTripMs: number }> {
      const before = Date.now();
      const { rows } = await sql<{ ms: string }>`select extract(epoch from clock_timestamp()) * 1000 as ms`.execute(db);
      const after = Date.now();
      return { offsetMs: Math.round((before + after) / 2 - Number(rows[0]!.ms)), roundTripMs: after - before };
    },

    /** The last one counts; a machine that fleet.yaml no longer names keeps none. */
    async report(machineId: string, report: MachineReport): Promise<void> {
      await sql`
        insert into machine_reports (machine_id, report)
        select id, ${JSON.stringify(report)}::jsonb from machines where id = ${machineId}
        on conflict (machine_id) do update set report = excluded.report, reported_at = now()`.execute(db);
    },
  };
}
export type MachineReportStore = ReturnType<typeof createMachineReportStore>;

export async function listMachineReports(db: Executor, ownerId: string): Promise<StoredReport[]> {
  const rows = await db
    .selectFrom('machineReports')
    .innerJoin('machines', 'machines.id', 'machineReports.machineId')
    .select(['machineReports.machineId', 'machineReports.report'])
    .select(sql<number>`extract(epoch from now() - machine_reports.reported_at)::float8`.as('ageSeconds'))
    .where('machines.ownerId', '=', ownerId)
    .where('machines.removedAt', 'is', null)
    .execute();
  return rows.map((row) => ({ ...row, report: row.report as unknown as MachineReport }));
}
