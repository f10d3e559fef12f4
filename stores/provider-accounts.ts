import { DomainError } from '../domain/errors.ts';
import type { PaymentProviderName, ProviderAccount } from '../domain/payments.ts';
import type { Database, Executor } from './database.ts';
import { firstOperator } from './principals.ts';

/** Whose account the books are of; undefined before the first call. */
export async function findProviderAccount(
  db: Executor,
  provider: PaymentProviderName,
): Promise<ProviderAccount | undefined> {
  return db
    .selectFrom('providerAccounts')
    .select(['account', 'live'])
    .where('provider', '=', provider)
    .executeTakeFirst();
}

/** Whether the books began in the test mode of a provider: then all that was sold in them is worth nothing. */
export async function isTrial(db: Executor): Promise<boolean> {
  const row = await db.selectFrom('providerAccounts').select('provider').where('live', '=', false).executeTakeFirst();
  return row !== undefined;
}

export function createProviderAccountStore(db: Database) {
  return {
    /** The first account stays. @returns the one that the books are of, which may be another than the one given */
    async bind(provider: PaymentProviderName, account: ProviderAccount): Promise<ProviderAccount> {
      const ownerId = await firstOperator(db);
      if (ownerId === undefined) throw new DomainError('INTERNAL', 'there is no operator whose books they are');
      await db
        .insertInto('providerAccounts')
        .values({ provider, ownerId, ...account })
        .onConflict((conflict) => conflict.column('provider').doNothing())
        .execute();
      return (await findProviderAccount(db, provider))!;
    },
  };
}
export type ProviderAccountStore = ReturnType<typeof createProviderAccountStore>;
