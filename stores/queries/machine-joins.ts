import { sql } from 'kysely';
import type { certificateKinds, certificateStates, machineInviteStates } from '../../domain/joins.ts';
import type { Executor } from '../database.ts';
import type { PageRequest } from './page.ts';

export interface MachineInviteView {
  id: string;
  machineId: string;
  state: (typeof machineInviteStates)[number];
  createdAt: string;
  expiresAt: string;
  usedAt: string | null;
}

/** The last made first; of no invitation the secret is kept. */
export async function listMachineInvites(
  db: Executor,
  { ownerId, limit, after, machineId }: PageRequest & { machineId?: string | undefined },
): Promise<MachineInviteView[]> {
  const { rows } = await sql<
    Omit<MachineInviteView, 'createdAt' | 'expiresAt' | 'usedAt'> &
      Times<'createdAt' | 'expiresAt'> & { usedAt: Date | null }
  >`
    select id, machine_id, created_at, expires_at, used_at,
      case when revoked_at is not null then 'revoked' when used_at is not null then 'used'
        when expires_at <= clock_timestamp() then 'expired' else 'open' end as state
    from machine_invites where owner_id = ${ownerId} and (${after ?? null}::text is null or id < ${after ?? null})
      and (${machineId ?? null}::text is null or machine_id = ${machineId ?? null})
    order by id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({
    ...row,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
    usedAt: row.usedAt?.toISOString() ?? null,
  }));
}

export interface CertificateView {
  serial: string;
  kind: (typeof certificateKinds)[number];
  machineId: string | null;
  generation: number;
  state: (typeof certificateStates)[number];
  issuedAt: string;
  notAfter: string;
}

type Times<Names extends string> = Record<Names, Date>;
type CertificateFilters = Partial<Pick<CertificateView, 'kind' | 'state'>> & { machineId?: string | undefined };

/** By serial, which is drawn. */
export async function listCertificates(
  db: Executor,
  {
    ownerId,
    limit,
    after,
    ...filters
  }: PageRequest & { [Name in keyof CertificateFilters]: CertificateFilters[Name] | undefined },
): Promise<CertificateView[]> {
  const of = (name: keyof CertificateFilters) => filters[name] ?? null;
  const { rows } = await sql<Omit<CertificateView, 'issuedAt' | 'notAfter'> & Times<'issuedAt' | 'notAfter'>>`
    select * from (select serial, kind, machine_id, generation, issued_at, not_after,
        case when revoked_at is not null then 'revoked' when not_after <= clock_timestamp() then 'expired' else 'living' end as state
      from certificates where owner_id = ${ownerId}) c
    where (${after ?? null}::text is null or serial > ${after ?? null})
      and (${of('kind')}::text is null or kind = ${of('kind')}) and (${of('state')}::text is null or state = ${of('state')})
      and (${of('machineId')}::text is null or machine_id = ${of('machineId')})
    order by serial limit ${limit}`.execute(db);
  return rows.map((row) => ({ ...row, issuedAt: row.issuedAt.toISOString(), notAfter: row.notAfter.toISOString() }));
}
