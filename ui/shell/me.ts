import type { Answer } from '../client.ts';
import { useApi } from '../queries.ts';

export type Me = Answer<'GET /v1/me'>;

const rank: Record<Me['role'], number> = { reader: 0, member: 1, creator: 2, operator: 3 };

/** Who is signed in; undefined until it is known. */
export function useMe(): Me | undefined {
  return useApi('GET /v1/me', {}).data;
}

/** Whether who is signed in may do what needs a role. The API judges; this is for what is shown. */
export function useMay(least: Me['role']): boolean {
  const me = useMe();
  return me !== undefined && rank[me.role] >= rank[least];
}
