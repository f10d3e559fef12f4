import {
  type Acceptance,
  acceptedBy,
  byGravity,
  type Finding,
  type FindingState,
  findingSeverities,
  type FindingSeverity,
  type Verdict,
  verdictOf,
} from './readiness.ts';
import { readinessRules } from './readiness-rules.ts';

export interface ReportedFinding extends Finding {
  /** Against the run before; null: there is none to compare with. */
  state: FindingState | null;
  accepted: Omit<Acceptance, 'rule' | 'fingerprint'> | null;
}

/** What every format is made from. */
export interface ReadinessReport {
  verdict: Verdict;
  /** Open ones, by severity. */
  counts: Record<FindingSeverity, number>;
  accepted: number;
  findings: ReportedFinding[];
  /** Those of the run before that are no more. */
  gone: Finding[];
}

export function reportOf(
  findings: ReadonlyArray<Finding & { state?: FindingState | null }>,
  { acceptances, today, gone = [] }: { acceptances: readonly Acceptance[]; today: string; gone?: readonly Finding[] },
): ReadinessReport {
  const reported = findings.toSorted(byGravity).map((each): ReportedFinding => {
    const holding = acceptedBy(each, acceptances, today);
    const accepted = holding === undefined ? null : { until: holding.until, by: holding.by, reason: holding.reason };
    return { ...each, state: each.state ?? null, accepted };
  });
  const open = reported.filter(({ accepted }) => accepted === null);
  const counts = Object.fromEntries(
    findingSeverities.map((severity) => [severity, open.filter((each) => each.severity === severity).length]),
  ) as Record<FindingSeverity, number>;
  return {
    verdict: verdictOf(open),
    counts,
    accepted: reported.length - open.length,
    findings: reported,
    gone: [...gone],
  };
}

/** How the verdict is written. */
export function verdictWord(verdict: Verdict): string {
  return verdict.toUpperCase();
}

const levels: Record<FindingSeverity, 'error' | 'warning' | 'note'> = {
  critical: 'error',
  high: 'error',
  medium: 'warning',
  low: 'note',
  unknown: 'note',
};

/** SARIF 2.1.0, as code hosts and editors read it. */
export function sarifOf({ findings }: ReadinessReport, version: string) {
  const used = [...new Set(findings.map(({ rule }) => rule))].toSorted();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'soulfra readiness',
            version,
            rules: used.map((id) => ({
              id,
              shortDescription: { text: readinessRules[id].title },
              help: { text: readinessRules[id].mend },
              defaultConfiguration: { level: levels[readinessRules[id].severity] },
              properties: { area: readinessRules[id].area, workPackage: readinessRules[id].workPackage },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: findings.map((each) => ({
          ruleId: each.rule,
          ruleIndex: used.indexOf(each.rule),
          level: levels[each.severity],
          message: { text: `${each.subject}: ${readinessRules[each.rule].title}. ${each.evidence}. ${each.mend}` },
          ...locationOf(each.place),
          partialFingerprints: { 'soulfra/v1': each.fingerprint },
          ...(each.state === null ? {} : { baselineState: each.state === 'known' ? 'unchanged' : 'new' }),
          ...(each.accepted === null
            ? {}
            : {
                suppressions: [
                  {
                    kind: 'external',
                    justification: `${each.accepted.reason} (${each.accepted.by}, until ${each.accepted.until})`,
                  },
                ],
              }),
        })),
      },
    ],
  };
}

function locationOf(place: string | null) {
  const found = /^(.+):(\d+)$/.exec(place ?? '');
  if (found === null) return {};
  return {
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: found[1]!.split('/').map(encodeURIComponent).join('/') },
          region: { startLine: Math.max(1, Number(found[2])) },
        },
      },
    ],
  };
}
