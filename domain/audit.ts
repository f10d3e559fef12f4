/** What became of a write: `unknown` where it was begun and no end was written, since the process died or it is still under way. */
export const auditOutcomes = ['done', 'refused', 'failed', 'unknown'] as const;
export type AuditOutcome = (typeof auditOutcomes)[number];

/** How a row of a request came to be written. */
export const auditPhases = ['begun', 'ended', 'refused'] as const;

/** @param status of the answer; null: none is known */
export function auditOutcomeOf(status: number | null): AuditOutcome {
  if (status === null) return 'unknown';
  if (status < 400) return 'done';
  return isRefusal(status) ? 'refused' : 'failed';
}

/** Refused for who asks, not for what is asked. */
export function isRefusal(status: number): boolean {
  return status === 401 || status === 403;
}

/** More subjects of one request are not kept. */
const mostSubjects = 6;
/** As long as the longest id: whatever is longer is none. */
const mostLetters = 200;

/** Ids out of an address, by the names of its parts: those that say `id`. What else stands there is nothing to keep. */
export function subjectsOfPath(params: unknown): string[] {
  if (typeof params !== 'object' || params === null) return [];
  return ids(
    Object.entries(params)
      .filter(([name]) => name === 'id' || name.endsWith('Id'))
      .map(([, value]) => value),
  );
}

/** The id of what was made: the answer names it, or says where it lies. */
export function subjectsOfAnswer(answer: unknown, location: unknown): string[] {
  const named = typeof answer === 'object' && answer !== null && 'id' in answer ? answer.id : undefined;
  const lies = typeof location === 'string' ? location.split('?')[0]!.split('/').at(-1) : undefined;
  return ids([named, lies]);
}

function ids(found: readonly unknown[]): string[] {
  const kept = found.filter((id): id is string => typeof id === 'string' && /^[\w.:@-]+$/.test(id));
  return [...new Set(kept)].filter((id) => id.length <= mostLetters).slice(0, mostSubjects);
}
