import type { Role } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface UserView {
  id: string;
  name: string;
  role: Role;
  address: string | null;
  state: 'invited' | 'active' | 'deleted';
  createdAt: string;
  verifiedAt: string | null;
  deletedAt: string | null;
}

/** Who belongs to the installation; who runs it is none of them. */
function usersOf(db: Executor, operatorId: string) {
  return db
    .selectFrom('users')
    .select(['id', 'name', 'role', 'address', 'createdAt', 'verifiedAt', 'deletedAt'])
    .where('operatorId', '=', operatorId);
}

type Row = Awaited<ReturnType<ReturnType<typeof usersOf>['executeTakeFirstOrThrow']>>;

function viewOf(row: Row): UserView {
  return {
    ...row,
    role: row.role as Role,
    state: row.deletedAt !== null ? 'deleted' : row.verifiedAt === null ? 'invited' : 'active',
    createdAt: iso(row.createdAt),
    verifiedAt: iso(row.verifiedAt),
    deletedAt: iso(row.deletedAt),
  };
}

/** The last one first. */
export async function listUsers(db: Executor, page: PageRequest): Promise<UserView[]> {
  let query = usersOf(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  return (await query.orderBy('id', 'desc').limit(page.limit).execute()).map(viewOf);
}

export async function findUser(db: Executor, operatorId: string, id: string): Promise<UserView | undefined> {
  const row = await usersOf(db, operatorId).where('id', '=', id).executeTakeFirst();
  return row && viewOf(row);
}
