import type { Role } from './states.ts';

/** A creator may do what a member may, and so on. */
const rank: Record<Role, number> = { reader: 0, member: 1, creator: 2, operator: 3 };

export function covers(role: Role, least: Role): boolean {
  return rank[role] >= rank[least];
}
