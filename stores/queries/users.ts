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

/** Who belongs to the installation, the last one first; who runs it is none of them. */
export async function listUsers(db: Executor, page: PageRequest): Promise<UserView[]> {
  let query = db
    .selectFrom('users')
    .select(['id', 'name', 'role', 'address', 'createdAt', 'verifiedAt', 'deletedAt'])
    .where('operatorId', '=', page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map((row) => ({
    ...row,
    role: row.role as Role,
    state: row.deletedAt !== null ? 'deleted' : row.verifiedAt === null ? 'invited' : 'active',
    createdAt: iso(row.createdAt),
    verifiedAt: iso(row.verifiedAt),
    deletedAt: iso(row.deletedAt),
  }));
}
