/** Classes of SQLSTATE that tell of the server or of others, never of a row: connection, rollback, resources, shutdown, I/O. */
const passingClasses: ReadonlySet<string> = new Set(['08', '40', '53', '58']);
/** 25006: nothing is written while every connection waits for the standby, or on a copy. */
const passingStates: ReadonlySet<string> = new Set(['25006', '55P03', '57P01', '57P02', '57P03', '57P05']);
/** data_exception, integrity_constraint_violation, data_corrupted: the same row fails the same way again. */
const rowClasses: ReadonlySet<string> = new Set(['22', '23', 'XX']);
const brokenSockets: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** What `pg` and its pool say without a code. */
const lostConnection = /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout)/;

function codeOf(err: unknown): string {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : '';
}

/** Whether the database was away, shutting down, or busy with somebody else: the same statement may do later. */
export function isPassing(err: unknown): boolean {
  const code = codeOf(err);
  return (
    brokenSockets.has(code) ||
    passingStates.has(code) ||
    (code.length === 5 && passingClasses.has(code.slice(0, 2))) ||
    (err instanceof Error && lostConnection.test(err.message))
  );
}

/** Whether Postgres ended the whole transaction, and nothing of it, for what others did beside it: a deadlock, or another order. */
export function isRolledBack(err: unknown): boolean {
  return codeOf(err) === '40P01' || codeOf(err) === '40001';
}

/** Whether another row has what this one would have, by the name of what keeps it unique. */
export function isTaken(err: unknown, constraint: string): boolean {
  return codeOf(err) === '23505' && (err as { constraint?: unknown }).constraint === constraint;
}

/** Whether Postgres refused what stands in the row. */
export function isRefusedRow(err: unknown): boolean {
  const code = codeOf(err);
  return code.length === 5 && rowClasses.has(code.slice(0, 2));
}
