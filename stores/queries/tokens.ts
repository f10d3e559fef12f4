import { sql } from 'kysely';
import type { Role } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface TokenView {
  id: string;
  kind: 'bearer' | 'once' | 'session';
  role: Role;
  name: string;
  createdAt: string;
  expiresAt: string | null;
  usedAt: string | null;
  revokedAt: string | null;
  /** The service that it is of. */
  service: string | null;
  /** Null: all that its role may. */
  scopes: string[] | null;
  /** Whether somebody signed in by it. */
  signedIn: boolean;
}

interface TokenFilters {
  /** Of the only one that is asked for. */
  id?: string | undefined;
  signedIn?: boolean | undefined;
  /** Only what still opens something. */
  live?: boolean | undefined;
}

/** The last made first; never the secret, which is not kept. */
export async function listTokens(db: Executor, page: PageRequest & TokenFilters): Promise<TokenView[]> {
  let query = db
    .selectFrom('tokens')
    .select([
      'id',
      'kind',
      'role',
      'name',
      'createdAt',
      'expiresAt',
      'usedAt',
      'revokedAt',
      'serviceId as service',
      'scopes',
      'signedIn',
    ])
    .where('ownerId', '=', page.ownerId);
  if (page.id !== undefined) query = query.where('id', '=', page.id);
  if (page.signedIn !== undefined) query = query.where('signedIn', '=', page.signedIn);
  if (page.live === true)
    query = query
      .where('revokedAt', 'is', null)
      .where((eb) => eb.or([eb('expiresAt', 'is', null), eb('expiresAt', '>', sql<Date>`now()`)]));
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map((row) => ({
    ...row,
    kind: row.kind as TokenView['kind'],
    role: row.role as Role,
    createdAt: iso(row.createdAt),
    expiresAt: iso(row.expiresAt),
    usedAt: iso(row.usedAt),
    revokedAt: iso(row.revokedAt),
  }));
}
