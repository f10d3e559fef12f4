import type { Executor } from './database.ts';

export interface NewEvent {
  ownerId: string;
  /** `<noun>.<past participle>`, such as machine.lost. */
  type: string;
  /** Id of what it happened to. */
  subject: string;
  data?: Record<string, unknown>;
}

/** Appends events in the caller's transaction: what is rolled back was never told. */
export async function appendEvents(db: Executor, events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return;
  await db
    .insertInto('events')
    .values(events.map(({ data, ...event }) => ({ ...event, data: JSON.stringify(data ?? {}) })))
    .execute();
}
