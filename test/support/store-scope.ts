import type { Fleet } from '../../domain/fleet.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { bornAgents } from './born-agents.ts';
import { createTestScope, type TestScope } from './isolation.ts';

export const testOwner = 'usr_test';

export interface StoreScope {
  scope: TestScope;
  db: Database;
  apply(fleet: Fleet): Promise<{ version: number; planVersion: number }>;
  close(): Promise<void>;
}

/** A migrated database of the test file's own with an operator in it. */
export async function openStoreScope(): Promise<StoreScope> {
  const scope = await createTestScope();
  const db = createDatabase({ url: scope.databaseUrl, name: 'test', onIdleError: () => undefined });
  await db.insertInto('users').values({ id: testOwner, name: 'test', role: 'operator' }).execute();
  const fleets = createFleetStore(db);
  return {
    scope,
    db,
    apply: (fleet) => fleets.apply({ ownerId: testOwner, source: '', fleet, agents: bornAgents(fleet), changes: [] }),
    async close() {
      await db.destroy();
      await scope.close();
    },
  };
}
