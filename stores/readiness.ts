import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { rolloutRunPrefix } from '../domain/ids.ts';
import {
  type Acceptance,
  diffOf,
  type Finding,
  type FindingState,
  type ReadinessArea,
  type Verdict,
} from '../domain/readiness.ts';
import type { Inventory, LiveMachine, StopTrial } from '../domain/readiness-inventory.ts';
import { reportOf } from '../domain/readiness-reports.ts';
import { type ServiceSpec, storedService } from '../domain/services.ts';
import { clockNow } from './ballot-rows.ts';
import type { Database, Executor } from './database.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { stopTrialsOf } from './stop-trials.ts';

/** Where a repository lies, and how it is read. */
export interface Repository {
  folder: string;
  machineId: string | null;
  machineFiles: Array<{ machine: string; file: string }>;
  portRules: Array<{ name: string; add: number }>;
}

/** Runs of an owner that are kept, besides the one that is settled. */
const keptRuns = 50;

export function createReadinessStore(db: Database) {
  return {
    /**
     * The repositories that each owner has had assessed, each as it was looked at last, where it could be; runs of rollouts look at what
     * their packages are about.
     */
    async lastOfEach(): Promise<Array<{ ownerId: string; repository: Repository }>> {
      const { rows } = await sql<{ ownerId: string; repository: Repository }>`
        select owner_id, repository from (
          select distinct on (owner_id, ${repositoryKey}) owner_id, repository, started_at from readiness_runs
          where state = 'done' and not starts_with(id, ${rolloutRunPrefix})
          order by owner_id, ${repositoryKey}, started_at desc) last
        order by owner_id, started_at desc`.execute(db);
      return rows;
    },

    async open({ id, ownerId, repository }: { id: string; ownerId: string; repository: Repository }): Promise<void> {
      await db
        .insertInto('readinessRuns')
        .values({ id, ownerId, repository: JSON.stringify(repository) })
        .onConflict((conflict) => conflict.column('id').doNothing())
        .execute();
    },

    async find(runId: string): Promise<{ ownerId: string; repository: Repository; hasInventory: boolean }> {
      const { rows } = await sql<{ ownerId: string; repository: Repository; hasInventory: boolean }>`
        select owner_id, repository, inventory is not null as has_inventory from readiness_runs where id = ${runId}`.execute(
        db,
      );
      if (!rows[0]) throw new DomainError('NOT_FOUND', `no run ${runId}`);
      return rows[0];
    },

    async services(ownerId: string): Promise<ServiceSpec[]> {
      const rows = await db
        .selectFrom('services')
        .select('spec')
        .where('ownerId', '=', ownerId)
        .where('retiredAt', 'is', null)
        .orderBy('id')
        .execute();
      return rows.map(({ spec }) => storedService(spec));
    },

    async keepInventory(runId: string, inventory: Inventory): Promise<void> {
      await db
        .updateTable('readinessRuns')
        .set({ inventory: JSON.stringify(inventory) })
        .where('id', '=', runId)
        .where('inventory', 'is', null)
        .execute();
    },

    async inventory(runId: string): Promise<Inventory> {
      const inventory = await inventoryOf(db, runId);
      if (inventory === null) throw new DomainError('NOT_FOUND', `run ${runId} has no inventory`);
      return inventory;
    },

    stopTrials: (ownerId: string): Promise<StopTrial[]> => stopTrialsOf(db, ownerId),

    /** Machines of which nothing was read yet and whose workers live: the others cannot be asked. */
    async unreadMachines(runId: string): Promise<string[]> {
      const { rows } = await sql<{ id: string }>`
        select m.id from machines m, readiness_runs r
        where r.id = ${runId} and m.removed_at is null and m.state <> 'lost' and m.lease_until > ${clockNow}
          and r.inventory -> 'machines' @> jsonb_build_array(jsonb_build_object('id', m.id))
          and not r.inventory -> 'live' @> jsonb_build_array(jsonb_build_object('machine', m.id))
          and not exists (select from readiness_live l where l.run_id = r.id and l.machine_id = m.id)
        order by m.id`.execute(db);
      return rows.map(({ id }) => id);
    },

    /** The first word of a machine stays; what comes once assessors have begun comes too late, since all judge the same. */
    async keepLive(runId: string, facts: LiveMachine): Promise<void> {
      await sql`
        insert into readiness_live (run_id, machine_id, facts)
        select id, ${facts.machine}, ${JSON.stringify(facts)} from readiness_runs r
        where id = ${runId} and not exists (select from readiness_assessments a where a.run_id = r.id)
        on conflict do nothing`.execute(db);
    },

    /** What one assessor found, once. */
    async store(runId: string, area: ReadinessArea, findings: readonly Finding[]): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const first = await tx
          .insertInto('readinessAssessments')
          .values({ runId, area, found: findings.length })
          .onConflict((conflict) => conflict.columns(['runId', 'area']).doNothing())
          .returning('runId')
          .executeTakeFirst();
        if (!first) return;
        await insertFindings(tx, runId, findings, null);
      });
    },

    /** Against the run before: what is new, known, returned and gone; the verdict; who is to be told. A second execution finds it done. */
    async settle(runId: string): Promise<Verdict> {
      return db.transaction().execute(async (tx) => {
        const { ownerId, repository } = await tx
          .selectFrom('readinessRuns')
          .select(['ownerId', repositoryKey.as('repository')])
          .where('id', '=', runId)
          .executeTakeFirstOrThrow();
        await takeLock(tx, 'readiness', ownerId);
        const { verdict: known } = await tx
          .selectFrom('readinessRuns')
          .select('verdict')
          .where('id', '=', runId)
          .executeTakeFirstOrThrow();
        if (known !== null) return known as Verdict;
        const now = await findingsOf(tx, runId);
        const before = await lastDone(tx, ownerId, repository);
        const last = before === undefined ? [] : (await findingsOf(tx, before)).filter(({ state }) => state !== 'gone');
        const { rows: seen } = await sql<{ fingerprint: string }>`
          select distinct f.fingerprint from readiness_findings f join readiness_runs r on r.id = f.run_id
          where r.owner_id = ${ownerId} and r.state = 'done' and ${repositoryKey} = ${repository}`.execute(tx);
        const diff = diffOf(
          now.map(({ fingerprint }) => fingerprint),
          {
            last: new Set(last.map(({ fingerprint }) => fingerprint)),
            everSeen: new Set(seen.map(({ fingerprint }) => fingerprint)),
          },
        );
        for (const state of ['new', 'known', 'returned'] as const) {
          const these = now.filter(({ fingerprint }) => diff.state.get(fingerprint) === state);
          await sql`update readiness_findings set state = ${state}
            where run_id = ${runId} and fingerprint = any(${these.map(({ fingerprint }) => fingerprint)}::text[])`.execute(
            tx,
          );
        }
        const gone = new Set(diff.gone);
        await insertFindings(
          tx,
          runId,
          last.filter(({ fingerprint }) => gone.has(fingerprint)),
          'gone',
        );
        const { rows: today } = await sql<{ today: string }>`select to_char(now(), 'YYYY-MM-DD') as today`.execute(tx);
        const of = { acceptances: await acceptancesOf(tx, ownerId), today: today[0]!.today };
        const { verdict } = reportOf(now, of);
        await sql`update readiness_runs set state = 'done', verdict = ${verdict}, finished_at = now() where id = ${runId}`.execute(
          tx,
        );
        // Of all its repositories: that one of them is sound says nothing of the others.
        const { findings } = reportOf(await openCritical(tx, ownerId), of);
        const critical = findings.filter(({ accepted }) => accepted === null);
        const own = new Set(now.map(({ fingerprint }) => fingerprint));
        const fresh = critical.filter(
          ({ fingerprint }) => own.has(fingerprint) && diff.state.get(fingerprint) !== 'known',
        );
        await tell(tx, ownerId, { critical, fresh });
        await forget(tx, ownerId, runId);
        return verdict;
      });
    },

    async fail(runId: string, reason: string): Promise<void> {
      await sql`update readiness_runs set state = 'failed', reason = ${reason.slice(0, 1_000)}, finished_at = now()
        where id = ${runId} and state = 'running'`.execute(db);
    },
  };
}
export type ReadinessStore = ReturnType<typeof createReadinessStore>;

/** With what each machine said of itself. @returns null where it is not kept any more */
export async function inventoryOf(db: Executor, runId: string): Promise<Inventory | null> {
  const row = await db.selectFrom('readinessRuns').select('inventory').where('id', '=', runId).executeTakeFirst();
  if (row === undefined || row.inventory === null) return null;
  const inventory = row.inventory as unknown as Inventory;
  const told = await db
    .selectFrom('readinessLive')
    .select('facts')
    .where('runId', '=', runId)
    .orderBy('machineId')
    .execute();
  return { ...inventory, live: [...inventory.live, ...told.map(({ facts }) => facts as unknown as LiveMachine)] };
}

async function insertFindings(
  tx: Executor,
  runId: string,
  findings: readonly Finding[],
  state: FindingState | null,
): Promise<void> {
  for (let at = 0; at < findings.length; at += 1_000) {
    await tx
      .insertInto('readinessFindings')
      .values(
        findings
          .slice(at, at + 1_000)
          .map(({ fingerprint, rule, area, severity, subject, place, evidence, mend, workPackage }) => ({
            runId,
            fingerprint,
            rule,
            area,
            severity,
            subject,
            place,
            evidence,
            mend,
            workPackage,
            state,
          })),
      )
      .onConflict((conflict) => conflict.columns(['runId', 'fingerprint']).doNothing())
      .execute();
  }
}

/** Which repository a run was of: where it lies, and on which machine. */
const repositoryKey = sql<string>`(rtrim(repository ->> 'folder', '/') || ' ' || coalesce(repository ->> 'machineId', ''))`;

/** @param repository its key; without it of any */
export async function lastDone(db: Executor, ownerId: string, repository?: string): Promise<string | undefined> {
  let query = db
    .selectFrom('readinessRuns')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('state', '=', 'done')
    .orderBy('finishedAt', 'desc')
    .limit(1);
  if (repository !== undefined) query = query.where(repositoryKey, '=', repository);
  return (await query.executeTakeFirst())?.id;
}

/** Of each repository of the owner the last run that came to its end. */
const lastOfRepositories = (ownerId: string) => sql`
  select distinct on (${repositoryKey}) id from readiness_runs
  where owner_id = ${ownerId} and state = 'done' order by ${repositoryKey}, finished_at desc`;

/** The critical findings that stand, of all repositories that the owner has had assessed, each with the folder that it was seen in. */
export async function openCritical(
  db: Executor,
  ownerId: string,
): Promise<Array<Finding & { state: FindingState | null; folder: string }>> {
  const { rows } = await sql<Finding & { state: FindingState | null; folder: string }>`
    select distinct on (f.fingerprint) f.fingerprint, f.rule, f.area, f.severity, f.subject, f.place, f.evidence, f.mend,
      f.work_package, f.state, r.repository ->> 'folder' as folder
    from readiness_findings f join readiness_runs r on r.id = f.run_id
    where f.run_id in (${lastOfRepositories(ownerId)}) and f.severity = 'critical' and f.state is distinct from 'gone'
    order by f.fingerprint, r.finished_at desc`.execute(db);
  return rows;
}

/** Whether the last run of any of the owner's repositories has it. */
export async function isStanding(
  db: Executor,
  ownerId: string,
  { rule, fingerprint }: Pick<Finding, 'rule' | 'fingerprint'>,
): Promise<boolean> {
  const { rows } = await sql`
    select from readiness_findings where run_id in (${lastOfRepositories(ownerId)})
      and rule = ${rule} and fingerprint = ${fingerprint} and state is distinct from 'gone' limit 1`.execute(db);
  return rows.length > 0;
}

export async function findingsOf(
  db: Executor,
  runId: string,
): Promise<Array<Finding & { state: FindingState | null }>> {
  const rows = await db
    .selectFrom('readinessFindings')
    .select(['fingerprint', 'rule', 'area', 'severity', 'subject', 'place', 'evidence', 'mend', 'workPackage', 'state'])
    .where('runId', '=', runId)
    .orderBy('fingerprint')
    .execute();
  return rows as Array<Finding & { state: FindingState | null }>;
}

export async function acceptancesOf(db: Executor, ownerId: string): Promise<Acceptance[]> {
  const { rows } = await sql<Acceptance>`
    select rule, fingerprint, to_char(until, 'YYYY-MM-DD') as until, accepted_by as by, reason
    from readiness_acceptances where owner_id = ${ownerId} order by id`.execute(db);
  return rows;
}

/** Told when a critical one comes, not each week anew; closed when none is left. */
async function tell(
  tx: Executor,
  ownerId: string,
  { critical, fresh }: { critical: readonly Finding[]; fresh: readonly Finding[] },
): Promise<void> {
  const key = `readiness_critical:${ownerId}`;
  if (critical.length === 0) return resolveNotice(tx, key);
  if (fresh.length === 0) return;
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'readiness_critical',
    key,
    subject: 'readiness',
    title: `${critical.length} critical ${critical.length === 1 ? 'finding stands' : 'findings stand'} between the fleet and production`,
    detail: fresh
      .slice(0, 5)
      .map(({ rule, subject }) => `${rule} ${subject}`)
      .join('; '),
    action: 'soulfra readiness',
  });
}

/**
 * The inventory of earlier runs, and runs beyond those that are kept; a rollout still looks at that of its own. What holds deployments
 * stays: the last run of each repository.
 */
async function forget(tx: Executor, ownerId: string, runId: string): Promise<void> {
  await sql`update readiness_runs set inventory = null
    where owner_id = ${ownerId} and id <> ${runId} and state <> 'running' and inventory is not null
      and (not starts_with(id, ${rolloutRunPrefix}) or finished_at < now() - interval '1 hour')`.execute(tx);
  await sql`delete from readiness_live l using readiness_runs r
    where r.id = l.run_id and r.owner_id = ${ownerId} and r.state <> 'running' and r.inventory is null`.execute(tx);
  await sql`delete from readiness_runs where id in (select id from readiness_runs
    where owner_id = ${ownerId} and id <> ${runId} and state <> 'running' and not id in (${lastOfRepositories(ownerId)})
    order by started_at desc offset ${keptRuns})`.execute(tx);
}

/** @returns its id */
export async function addAcceptance(
  db: Executor,
  { ownerId, rule, fingerprint, until, by, reason }: Acceptance & { ownerId: string },
): Promise<string> {
  const id = newId('acceptance');
  await sql`insert into readiness_acceptances (id, owner_id, rule, fingerprint, until, accepted_by, reason)
    values (${id}, ${ownerId}, ${rule}, ${fingerprint}, ${until}::date, ${by}, ${reason})`.execute(db);
  return id;
}
