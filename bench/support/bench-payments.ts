import { sql } from 'kysely';
import { DomainError } from '../../domain/errors.ts';
import type { PaymentProvider } from '../../domain/purchases.ts';
import type { Database } from '../../stores/database.ts';

/** A provider elsewhere, as it would know its own payments: rows that no product code reads or writes. */
export async function createBenchPayments(db: Database): Promise<void> {
  await sql`create table bench_payments (key text primary key, state text not null, amount bigint not null,
    captures integer not null default 0)`.execute(db);
  await sql`create table bench_steps (id bigint generated always as identity primary key, ordinal integer not null)`.execute(
    db,
  );
}

/** At which step a payment is refused, for good; undefined: at none. */
export function refusedAt(key: string): 'authorize' | 'capture' | undefined {
  const seventh = Number.parseInt(key.slice(-8), 16) % 7;
  return seventh === 0 ? 'authorize' : seventh === 6 ? 'capture' : undefined;
}

/** A seventh of the payments is refused at each step, a fifth of the answers is lost after the work was done. */
export function benchPayments(db: Database): PaymentProvider {
  const maybeLost = () => {
    if (Math.random() < 0.2) throw new Error('the answer was lost');
  };
  return {
    async authorize({ key, amount }) {
      if (refusedAt(key) === 'authorize') throw new DomainError('PAYMENT_REFUSED', `${key} was declined`);
      await sql`insert into bench_payments (key, state, amount) values (${key}, 'authorized', ${amount})
        on conflict (key) do nothing`.execute(db);
      const { rows } = await sql<{ state: string }>`select state from bench_payments where key = ${key}`.execute(db);
      if (rows[0]?.state === 'void') throw new DomainError('PAYMENT_REFUSED', `${key} was voided`);
      maybeLost();
    },
    look: () => Promise.reject(new Error('what is authorized at once is not looked at')),
    async void({ key }) {
      await sql`insert into bench_payments (key, state, amount) values (${key}, 'void', 0)
        on conflict (key) do update set state = 'void' where bench_payments.state <> 'captured'`.execute(db);
      maybeLost();
    },
    async capture({ key }) {
      if (refusedAt(key) === 'capture') throw new DomainError('PAYMENT_REFUSED', `${key} was declined after all`);
      await sql`update bench_payments set state = 'captured', captures = captures + 1
        where key = ${key} and state = 'authorized'`.execute(db);
      const { rows } = await sql<{ state: string }>`select state from bench_payments where key = ${key}`.execute(db);
      if (rows[0]?.state !== 'captured') throw new DomainError('PAYMENT_REFUSED', `${key} is not authorized`);
      maybeLost();
      return { reference: `ch_${key}` };
    },
  };
}
