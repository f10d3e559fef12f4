export const auditOutcomes = ['done', 'refused', 'failed', 'unknown'] as const;

export interface AuditSearch {
  /** Id of a user, token or service. */
  actor?: string;
  subject?: string;
  outcome?: (typeof auditOutcomes)[number];
  /** A day as the date field writes it, in the reader's own time. */
  since?: string;
}

/** What stands in the address, so that a look into the log can be linked to. */
export function auditSearch({ actor, subject, outcome, since }: Record<string, unknown>): AuditSearch {
  const known = auditOutcomes.find((each) => each === outcome);
  return {
    ...(isId(actor) && { actor }),
    ...(isId(subject) && { subject }),
    ...(known !== undefined && { outcome: known }),
    ...(isDay(since) && { since }),
  };
}

/** As the API takes it: a day begins when it does for who looks. */
export function auditQuery({ since, ...rest }: AuditSearch) {
  return since === undefined ? rest : { ...rest, since: new Date(`${since}T00:00`).toISOString() };
}

/** More letters than any id has are none. */
const isId = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 200;

const isDay = (value: unknown): value is string =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(`${value}T00:00`));
