import { sql } from 'kysely';
import { machineLostReason } from '../domain/health-rules.ts';
import type { NoticeKind } from '../domain/notices.ts';
import type { HealthKind, HealthState } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import type { HealthChange } from './health.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';

interface Told {
  kind: NoticeKind;
  states: readonly HealthState[];
  title: (id: string) => string;
}

const failing = ['failing', 'lost'] as const;
/** What a person is told of health. Machines, model servers, channels and books tell of themselves where they fail. */
const told: Partial<Record<HealthKind, Told>> = {
  worker: { kind: 'worker_failing', states: failing, title: (id) => `The worker of ${id} completes nothing` },
  schedule: { kind: 'schedule_failing', states: failing, title: (id) => `The Schedule ${id} does not act` },
  disk: { kind: 'disk_low', states: ['late', ...failing], title: (id) => `The disk of ${id} is nearly full` },
  service: { kind: 'service_down', states: ['failing'], title: (id) => `The service ${id} is down` },
  backup: {
    kind: 'backup_old',
    states: ['late', ...failing],
    title: () => 'The fleet is not backed up as it should be',
  },
  archive: {
    kind: 'archive_late',
    states: ['late', ...failing],
    title: () => 'Changes do not leave for the archive',
  },
  certificate: {
    kind: 'certificate_ending',
    states: ['late', ...failing],
    title: (id) => `The certificate of ${id} ends`,
  },
  token: {
    kind: 'token_ending',
    states: ['late', ...failing],
    title: (id) => `The token ${id} ends`,
  },
};

const keyOf = (kind: HealthKind, id: string) => `health:${kind}:${id}`;
/** Failing agents that a notice names. */
const mostNamed = 10;

/** Opens and closes notices by what has changed, in the transaction that stores it. @param gone keys `kind:id` of what is no more */
export async function tellHealth(
  tx: DatabaseTransaction,
  changes: readonly HealthChange[],
  gone: ReadonlySet<string>,
): Promise<void> {
  for (const { kind, id, ownerId, to, reason } of changes) {
    const rule = told[kind];
    if (rule === undefined) continue;
    // The machine is told of itself.
    if (!rule.states.includes(to) || reason === machineLostReason) await resolveNotice(tx, keyOf(kind, id));
    else
      await openNotice(tx, {
        id: newId('notice'),
        ownerId,
        kind: rule.kind,
        key: keyOf(kind, id),
        subject: id,
        title: rule.title(id),
        detail: reason,
      });
  }
  for (const key of gone) await resolveNotice(tx, `health:${key}`);
  const owners = new Set(changes.filter(({ kind }) => kind === 'agent').map(({ ownerId }) => ownerId));
  if ([...gone].some((key) => key.startsWith('agent:'))) for (const owner of await agentOwners(tx)) owners.add(owner);
  for (const ownerId of owners) await tellAgents(tx, ownerId);
}

/** One notice of all agents: what fails them is mostly one thing, and hundreds of notices are none. */
async function tellAgents(tx: DatabaseTransaction, ownerId: string): Promise<void> {
  const { rows } = await sql<{ total: number; some: string[] | null }>`
    select count(*) as total, (array_agg(subject_id || ': ' || reason order by since, subject_id))[1:${mostNamed}::int] as some
    from health where owner_id = ${ownerId} and subject_kind = 'agent' and state in ('failing', 'lost')`.execute(tx);
  const { total, some } = rows[0]!;
  const key = `health:agents:${ownerId}`;
  if (total === 0) return resolveNotice(tx, key);
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'agent_failing',
    key,
    subject: 'agents',
    title: total === 1 ? '1 agent is failing' : `${total} agents are failing`,
    detail: `${(some ?? []).join('; ')}${total > mostNamed ? '; …' : ''}`,
  });
}

/** Whose notice may have to close, where agents are gone. */
async function agentOwners(tx: DatabaseTransaction): Promise<string[]> {
  const { rows } = await sql<{ ownerId: string }>`select owner_id as "ownerId" from notices
    where kind = 'agent_failing' and resolved_at is null`.execute(tx);
  return rows.map(({ ownerId }) => ownerId);
}
