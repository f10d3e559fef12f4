import { sql } from 'kysely';
import type { MachineReport } from '../domain/doctor-machines.ts';
import type { TrustedCommand } from '../domain/service-trust.ts';
import type { ServiceSpec } from '../domain/services.ts';
import type { Database, Executor } from './database.ts';
import { requestReplan } from './plans.ts';
import { failRun, type RefusedStart } from './service-runs.ts';
import { commandHash } from './services.ts';

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
        on conflict (machine_id) do update set reported_at = now(), report = excluded.report
          || case when machine_reports.report ? 'trusts' then jsonb_build_object('trusts', machine_reports.report -> 'trusts')
            else '{}' end`.execute(db);
    },

    /**
     * What the machine would run of the fleet's services. A plan is asked for in the same transaction where that changes for one that
     * somebody wants to run and that does not: what runs stays as it is, and what is being started finds out by itself. It is asked for
     * one that was refused, too, where the next plan puts that elsewhere or nowhere: else it would come here again without end.
     */
    async reportTrust(machineId: string, trusts: readonly TrustedCommand[], refused?: RefusedStart): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ ownerId: string; before: TrustedCommand[] | null }>`
          select m.owner_id, r.report -> 'trusts' as before from machines m
          left join machine_reports r on r.machine_id = m.id
          where m.id = ${machineId} and m.removed_at is null for no key update of m`.execute(tx);
        const [machine] = rows;
        if (refused !== undefined) await failRun(tx, refused.key, refused.reason, machineId);
        if (machine === undefined) return;
        await sql`
          insert into machine_reports (machine_id, report)
          values (${machineId}, jsonb_build_object('trusts', ${JSON.stringify(trusts)}::jsonb))
          on conflict (machine_id) do update set report = machine_reports.report || excluded.report`.execute(tx);
        const changed = changedTrust(machine.before ?? [], trusts);
        const turnedAway = refused !== undefined && !trusts.some(isOf(refused.spec)) ? refused.spec.id : null;
        const { rows: services } = await sql<{ id: string }>`
          select s.id from services s join service_runs r on r.service_id = s.id
          where s.owner_id = ${machine.ownerId} and s.retired_at is null and r.wanted = 'running'
            and ((s.id = any(${changed}) and s.machine_id is null)
              or ((s.id = any(${changed}) or s.id = ${turnedAway})
                and s.machine_id = ${machineId} and r.machine_id is null and r.state = 'failed')) limit 1`.execute(tx);
        if (services.length > 0)
          await requestReplan(tx, { ownerId: machine.ownerId, reason: `${machineId} said which commands it trusts` });
      });
    },
  };
}
export type MachineReportStore = ReturnType<typeof createMachineReportStore>;

function isOf(spec: ServiceSpec): (trusted: TrustedCommand) => boolean {
  const hash = commandHash(spec);
  return ({ service, sha256 }) => service === spec.id && sha256 === hash;
}

/** Services of which one says something else than the other. */
function changedTrust(before: readonly TrustedCommand[], after: readonly TrustedCommand[]): string[] {
  const key = ({ service, sha256 }: TrustedCommand) => `${service} ${sha256}`;
  const [was, is] = [new Set(before.map(key)), new Set(after.map(key))];
  return [...before, ...after].filter((one) => was.has(key(one)) !== is.has(key(one))).map(({ service }) => service);
}

export async function listMachineReports(db: Executor, ownerId: string): Promise<StoredReport[]> {
  const rows = await db
    .selectFrom('machineReports')
    .innerJoin('machines', 'machines.id', 'machineReports.machineId')
    .select(['machineReports.machineId', 'machineReports.report'])
    .select(sql<number>`extract(epoch from now() - machine_reports.reported_at)::float8`.as('ageSeconds'))
    .where('machines.ownerId', '=', ownerId)
    .where('machines.removedAt', 'is', null)
    // Of a worker that has begun a moment ago there is only what it trusts.
    .where(sql<boolean>`machine_reports.report ? 'app'`)
    .execute();
  return rows.map((row) => ({ ...row, report: row.report as unknown as MachineReport }));
}
