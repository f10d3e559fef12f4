/**
 * Memories have two times of their own: from when until when something held (`occurredAt`, `validTo`), and from when until
 * when it was known here (`recordedAt`, until it was superseded or deleted). Snodgrass 1999, Developing Time-Oriented
 * Database Applications in SQL, chapter 10; the SQL stands in stores/memory-times.ts.
 */
export interface AsOf {
  /** What held then, by what is known at `knownAt`, which is now where it is left out. */
  at?: Date | undefined;
  /** What was known then; of that what held at `at`, or where it is left out all that had not given way. */
  knownAt?: Date | undefined;
}

/** What has ended still comes to mind, since one remembers what was; whoever is shown it is told until when it held. */
export function ending({ validTo }: { validTo: string | null }, now: Date): { until?: string } {
  return validTo !== null && Date.parse(validTo) <= now.getTime() ? { until: validTo } : {};
}
