import { createHash, randomBytes } from 'node:crypto';
import { type RawBuilder, sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type CertificateKind, type EdgeRefusal, machineAccessChannel, machineInviteSeconds } from '../domain/joins.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { endLease } from './machines.ts';

/** What the authority signed. */
export interface SignedRow {
  serial: string;
  generation: number;
  certificate: string;
  notAfter: string;
}

export interface Joined extends SignedRow {
  machineId: string;
  ownerId: string;
  inviteId: string;
}

/** Whose connection it is, and whether it may be forwarded. */
export interface Standing {
  state: 'living' | 'revoked';
  machineId: string;
  inviteId: string;
}

/** 256 random bits: one round of SHA-256 keeps them, as there is nothing to guess from a stolen hash. */
const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

const tell = (tx: Executor) => sql`select pg_notify(${machineAccessChannel}, '')`.execute(tx);

/** Who lets a machine in or out goes one after the other: the next one sees all that was signed before. */
const lockMachine = (tx: Executor, machineId: RawBuilder<unknown>) =>
  sql`select from machines where id = ${machineId} for no key update`.execute(tx);

const living = sql`c.revoked_at is null and c.not_after > clock_timestamp()
  and exists (select from machines m where m.id = c.machine_id and m.removed_at is null)`;

export function createMachineJoinStore(db: Database) {
  return {
    /** @throws MACHINE_UNKNOWN where no applied fleet.yaml names it */
    async invite(ownerId: string, machineId: string): Promise<{ id: string; secret: string; expiresAt: string }> {
      const secret = randomBytes(32).toString('base64url');
      const id = newId('machineInvite');
      return db.transaction().execute(async (tx) => {
        await assertMachine(tx, ownerId, machineId);
        const { expiresAt } = await tx
          .insertInto('machineInvites')
          .values({
            id,
            ownerId,
            machineId,
            hash: hashOf(secret),
            expiresAt: sql<Date>`now() + make_interval(secs => ${machineInviteSeconds})`,
          })
          .returning('expiresAt')
          .executeTakeFirstOrThrow();
        await appendEvents(tx, [{ ownerId, type: 'machine.invited', subject: machineId, data: { inviteId: id } }]);
        return { id, secret, expiresAt: expiresAt.toISOString() };
      });
    },

    /**
     * Uses an invitation for one key. The same key may ask again, and is answered what it was; another never. Whatever let the
     * machine in before lets nobody in from here on.
     * @param sign called once, within the transaction
     * @throws MACHINE_INVITE_ENDED with why
     */
    async redeem(secret: string, keyHash: string, sign: (machineId: string) => Promise<SignedRow>): Promise<Joined> {
      return db.transaction().execute(async (tx) => {
        await lockMachine(tx, sql`(select machine_id from machine_invites where hash = ${hashOf(secret)})`);
        const invite = await tx
          .selectFrom('machineInvites')
          .innerJoin('machines', 'machines.id', 'machineInvites.machineId')
          .select([
            'machineInvites.id',
            'machineInvites.ownerId',
            'machineId',
            'keyHash',
            'revokedAt',
            'expiresAt',
            'removedAt',
          ])
          .select(sql<boolean>`expires_at <= clock_timestamp()`.as('expired'))
          .where('hash', '=', hashOf(secret))
          .forUpdate(['machineInvites'])
          .executeTakeFirst();
        const ended = (why: string) => new DomainError('MACHINE_INVITE_ENDED', why);
        if (!invite) throw ended('the fleet knows no such invitation: was the whole line copied?');
        const { id: inviteId, machineId, ownerId } = invite;
        if (invite.revokedAt !== null) throw ended(`the invitation of ${machineId} was revoked`);
        if (invite.removedAt !== null)
          throw new DomainError('MACHINE_UNKNOWN', `fleet.yaml names no machine ${machineId} any more`);
        if (invite.keyHash !== null) {
          if (invite.keyHash !== keyHash)
            throw ended(
              `the invitation of ${machineId} was used by another box; if that was not you: soulfra machine revoke ${machineId}`,
            );
          const known = await issuedFor(tx, machineId, keyHash);
          if (known) return { ...known, machineId, ownerId, inviteId };
          throw ended(`the certificate that the invitation of ${machineId} brought has ended`);
        }
        if (invite.expired)
          throw ended(`the invitation of ${machineId} ran out at ${invite.expiresAt.toISOString()?.slice(11, 16)} UTC`);
        await sql`update certificates set revoked_at = now() where machine_id = ${machineId} and revoked_at is null`.execute(
          tx,
        );
        await sql`update machine_invites set key_hash = ${keyHash}, used_at = now() where id = ${inviteId}`.execute(tx);
        const signed = await sign(machineId);
        await insertMachineCertificate(tx, { ...signed, machineId, ownerId, inviteId }, keyHash);
        await appendEvents(tx, [
          { ownerId, type: 'machine.admitted', subject: machineId, data: { inviteId, serial: signed.serial } },
        ]);
        await tell(tx);
        return { ...signed, machineId, ownerId, inviteId };
      });
    },

    /** The next certificate of a machine, for a new key of its; asked again for the same key, the same. */
    async renew(
      { serial, keyHash }: { serial: string; keyHash: string },
      sign: (machineId: string) => Promise<SignedRow>,
    ): Promise<Joined> {
      return db.transaction().execute(async (tx) => {
        await lockMachine(tx, sql`(select machine_id from certificates where serial = ${serial})`);
        const { rows } = await sql<{ machineId: string; ownerId: string; inviteId: string }>`
          select c.machine_id, c.owner_id, c.invite_id from certificates c where c.serial = ${serial} and ${living} for update of c`.execute(
          tx,
        );
        const holder = rows[0];
        if (!holder) throw new DomainError('CERTIFICATE_REFUSED', 'the certificate was revoked or has run out');
        const known = await issuedFor(tx, holder.machineId, keyHash);
        if (known) return { ...known, ...holder };
        const signed = await sign(holder.machineId);
        await insertMachineCertificate(tx, { ...signed, ...holder }, keyHash);
        await appendEvents(tx, [
          {
            ownerId: holder.ownerId,
            type: 'machine.renewed',
            subject: holder.machineId,
            data: { serial: signed.serial },
          },
        ]);
        return { ...signed, ...holder };
      });
    },

    /** @returns undefined for a certificate that is not in the books: it was not signed for a machine */
    async standing(serial: string): Promise<Standing | undefined> {
      const { rows } = await sql<Standing>`
        select c.machine_id, c.invite_id, case when ${living} then 'living' else 'revoked' end as state
        from certificates c where c.serial = ${serial} and c.kind = 'machine'`.execute(db);
      return rows[0];
    },

    async generationOf(serial: string): Promise<number> {
      const { generation } = await db
        .selectFrom('certificates')
        .select('generation')
        .where('serial', '=', serial)
        .executeTakeFirstOrThrow();
      return generation;
    },

    /** Of these serials, those that live. */
    async livingOf(serials: readonly string[]): Promise<Set<string>> {
      const { rows } = await sql<{ serial: string }>`
        select c.serial from certificates c where c.kind = 'machine' and c.serial = any(${serials}::text[]) and ${living}`.execute(
        db,
      );
      return new Set(rows.map((row) => row.serial));
    },

    /** Machines that are in, and by which invitation; the oldest generation that signed what one of them goes by now. */
    async admitted(): Promise<Array<{ machineId: string; inviteId: string; generation: number }>> {
      const { rows } = await sql<{ machineId: string; inviteId: string; generation: number }>`
        select distinct on (c.machine_id) c.machine_id, c.invite_id, c.generation
        from certificates c where c.kind = 'machine' and ${living} order by c.machine_id, c.issued_at desc`.execute(db);
      return rows;
    },

    /** Generations of the authority that signed something that lives. */
    async livingGenerations(): Promise<Set<number>> {
      const { rows } = await sql<{ generation: number }>`
        select distinct c.generation from certificates c where c.kind = 'machine' and ${living}`.execute(db);
      return new Set(rows.map((row) => row.generation));
    },

    /**
     * Open invitations and living certificates of the machine end, and its lease with them, so that nothing it still does counts.
     * @throws NOT_FOUND where there is nothing to revoke
     */
    async revoke(ownerId: string, machineId: string): Promise<{ invites: number; certificates: number }> {
      return db.transaction().execute(async (tx) => {
        await assertMachine(tx, ownerId, machineId);
        await lockMachine(tx, sql`${machineId}`);
        const invites =
          await sql`update machine_invites set revoked_at = now() where machine_id = ${machineId} and owner_id = ${ownerId}
          and revoked_at is null and (used_at is not null or expires_at > now()) returning id`.execute(tx);
        const certificates = await sql`update certificates set revoked_at = now() where machine_id = ${machineId}
          and owner_id = ${ownerId} and revoked_at is null returning serial`.execute(tx);
        const told = { invites: invites.rows.length, certificates: certificates.rows.length };
        if (told.invites + told.certificates === 0)
          throw new DomainError('NOT_FOUND', `${machineId} has no open invitation and no living certificate`);
        await appendEvents(tx, [{ ownerId, type: 'machine.revoked', subject: machineId, data: told }]);
        if (told.certificates > 0) await endLease(tx, machineId, 'its certificate was revoked');
        await tell(tx);
        return told;
      });
    },

    /** What the edge shows of itself; one row a serial. */
    async keepOwn(kind: Exclude<CertificateKind, 'machine'>, ownerId: string, signed: SignedRow): Promise<void> {
      const { serial, generation, certificate, notAfter } = signed;
      await db
        .insertInto('certificates')
        .values({ serial, generation, certificate, notAfter, kind, ownerId })
        .onConflict((conflict) => conflict.column('serial').doNothing())
        .execute();
    },

    /** What is shown no more, so that nobody is told that it ends. */
    async dropOwn(kind: Exclude<CertificateKind, 'machine'>, kept: readonly string[]): Promise<void> {
      await sql`update certificates set revoked_at = now()
        where kind = ${kind} and revoked_at is null and not serial = any(${kept}::text[])`.execute(db);
    },

    async countRefusals(counts: ReadonlyMap<EdgeRefusal, number>): Promise<void> {
      const rows = [...counts].map(([reason, refused]) => ({ reason, refused }));
      await sql`insert into edge_refusals (reason, refused, last_at)
        select r.reason, r.refused, now() from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (reason text, refused bigint)
        on conflict (reason) do update set refused = edge_refusals.refused + excluded.refused, last_at = excluded.last_at`.execute(
        db,
      );
    },
  };
}
export type MachineJoinStore = ReturnType<typeof createMachineJoinStore>;

async function assertMachine(tx: DatabaseTransaction, ownerId: string, machineId: string): Promise<void> {
  const row = await tx
    .selectFrom('machines')
    .select('id')
    .where('id', '=', machineId)
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .executeTakeFirst();
  if (!row)
    throw new DomainError(
      'MACHINE_UNKNOWN',
      `fleet.yaml names no machine ${machineId}: add it there and \`soulfra apply\` first`,
    );
}

async function issuedFor(tx: DatabaseTransaction, machineId: string, keyHash: string): Promise<SignedRow | undefined> {
  const { rows } = await sql<Omit<SignedRow, 'notAfter'> & { notAfter: Date }>`
    select c.serial, c.generation, c.certificate, c.not_after from certificates c
    where c.machine_id = ${machineId} and c.key_hash = ${keyHash} and ${living} order by c.issued_at desc limit 1`.execute(
    tx,
  );
  const row = rows[0];
  return row && { ...row, notAfter: row.notAfter.toISOString() };
}

async function insertMachineCertificate(tx: DatabaseTransaction, joined: Joined, keyHash: string): Promise<void> {
  const { serial, generation, certificate, notAfter, machineId, ownerId, inviteId } = joined;
  const row = { serial, generation, certificate, notAfter, machineId, ownerId, inviteId, keyHash };
  await tx
    .insertInto('certificates')
    .values({ ...row, kind: 'machine' })
    .execute();
}
