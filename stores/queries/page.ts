/** One page of a list that is ordered by one key: rows after `after`, at most `limit`. */
export interface PageRequest {
  ownerId: string;
  limit: number;
  /** Sort key of the last row already read. */
  after?: string | undefined;
}

export function iso(at: Date): string;
export function iso(at: Date | null): string | null;
export function iso(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}
