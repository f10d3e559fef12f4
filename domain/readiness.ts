import { seedOf } from './random.ts';
import { type ReadinessRuleId, readinessRules } from './readiness-rules.ts';

/** The ten assessors. */
export const readinessAreas = [
  'work_packages',
  'distribution',
  'configuration',
  'code',
  'security',
  'resources',
  'observability',
  'containers',
  'data',
  'operations',
] as const;
export type ReadinessArea = (typeof readinessAreas)[number];

/** `unknown`: it could not be looked at, which is never taken for well. */
export const findingSeverities = ['critical', 'high', 'medium', 'low', 'unknown'] as const;
export type FindingSeverity = (typeof findingSeverities)[number];

export const verdicts = ['ready', 'partially_ready', 'not_ready'] as const;
export type Verdict = (typeof verdicts)[number];

export interface Finding {
  rule: ReadinessRuleId;
  area: ReadinessArea;
  severity: FindingSeverity;
  /** What it is about, such as `mainpc:7201` or a service. Stays the same while lines move. */
  subject: string;
  /** File and line; null where it was seen on a machine. */
  place: string | null;
  evidence: string;
  mend: string;
  /** Of rollout.yaml, such as `WP-01`. */
  workPackage: string;
  /** Of rule and subject: the same finding in the next run. */
  fingerprint: string;
}

export interface Seen {
  subject: string;
  place?: string | null | undefined;
  evidence: string;
  /** In place of the rule's, where this one is less or more grave. */
  severity?: FindingSeverity;
  mend?: string;
}

export function finding(rule: ReadinessRuleId, { subject, place = null, evidence, severity, mend }: Seen): Finding {
  const { area, severity: usual, mend: always, workPackage } = readinessRules[rule];
  return {
    rule,
    area,
    severity: severity ?? usual,
    subject: subject.slice(0, 300),
    place,
    evidence: evidence.slice(0, 1_000),
    mend: mend ?? always,
    workPackage,
    fingerprint: fingerprintOf(rule, subject),
  };
}

/** Sixteen hexadecimal digits. */
export function fingerprintOf(rule: string, subject: string): string {
  const half = (salt: string) => seedOf(`${salt}${rule}\n${subject}`).toString(16).padStart(8, '0');
  return `${half('a')}${half('b')}`;
}

export interface Acceptance {
  rule: string;
  fingerprint: string;
  /** Last day on which it holds, such as `2027-01-31`. */
  until: string;
  by: string;
  reason: string;
}

/** The acceptance that holds for a finding on a day; the one that lasts longest. */
export function acceptedBy(
  { rule, fingerprint }: Pick<Finding, 'rule' | 'fingerprint'>,
  acceptances: readonly Acceptance[],
  today: string,
): Acceptance | undefined {
  return acceptances
    .filter((each) => each.rule === rule && each.fingerprint === fingerprint && each.until >= today)
    .toSorted((a, b) => (a.until < b.until ? 1 : -1))[0];
}

/** Critical ones that nobody accepted: not ready. Anything above low, or that could not be looked at: in part. */
export function verdictOf(open: ReadonlyArray<Pick<Finding, 'severity'>>): Verdict {
  if (open.some(({ severity }) => severity === 'critical')) return 'not_ready';
  return open.some(({ severity }) => severity !== 'low') ? 'partially_ready' : 'ready';
}

/** Critical first, then by rule and subject. */
export function byGravity(a: Finding, b: Finding): number {
  return (
    findingSeverities.indexOf(a.severity) - findingSeverities.indexOf(b.severity) ||
    compared(a.rule, b.rule) ||
    compared(a.subject, b.subject)
  );
}

function compared(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Each finding once, the gravest first. */
export function settled(findings: readonly Finding[]): Finding[] {
  const distinct = new Map<string, Finding>();
  for (const each of findings.toSorted(byGravity))
    if (!distinct.has(each.fingerprint)) distinct.set(each.fingerprint, each);
  return [...distinct.values()];
}

export const readinessRunStates = ['running', 'done', 'failed'] as const;
export type ReadinessRunState = (typeof readinessRunStates)[number];

/** How a finding stands against the run before. */
export const findingStates = ['new', 'known', 'returned', 'gone'] as const;
export type FindingState = (typeof findingStates)[number];

export interface Diff {
  state: ReadonlyMap<string, FindingState>;
  /** Fingerprints that stood in the last run and do not in this one. */
  gone: string[];
}

/**
 * @param last fingerprints of the run before, without those that were gone in it
 * @param everSeen of all runs before it
 */
export function diffOf(
  now: readonly string[],
  { last, everSeen }: { last: ReadonlySet<string>; everSeen: ReadonlySet<string> },
): Diff {
  const here = new Set(now);
  return {
    state: new Map(
      now.map((fingerprint) => [
        fingerprint,
        last.has(fingerprint) ? 'known' : everSeen.has(fingerprint) ? 'returned' : 'new',
      ]),
    ),
    gone: [...last].filter((fingerprint) => !here.has(fingerprint)),
  };
}
