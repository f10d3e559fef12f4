/** What a dry run answers in place of the thing. */
export interface Would {
  would?: string;
}

export function licensePath(id: string, below?: string): string {
  return `/licenses/${encodeURIComponent(id)}${below === undefined ? '' : `/${below}`}`;
}
