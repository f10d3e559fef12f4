import type { ReportedFinding } from './readiness-reports.ts';
import type { RolloutPackage } from './rollouts.ts';

/**
 * What holds every deployment: critical findings of the last assessment that nobody answers for today. Nothing assessed holds nothing.
 * @param mends whether the deployment itself is what ends a finding, which cannot wait for that
 */
export function deployBlockers<Found extends ReportedFinding>(
  findings: readonly Found[],
  mends: (finding: ReportedFinding) => boolean = () => false,
): Found[] {
  return findings.filter((finding) => finding.severity === 'critical' && finding.accepted === null && !mends(finding));
}

/** A work package ends what names it, and what its rules have to leave clean. */
export function mendedBy({ id, verify }: Pick<RolloutPackage, 'id' | 'verify'>): (finding: ReportedFinding) => boolean {
  return ({ rule, workPackage }) => workPackage.toLowerCase() === id.toLowerCase() || verify.rules.includes(rule);
}

const mostNamed = 3;

/** A finding, and the folder that was assessed. */
export type Blocker = ReportedFinding & { folder: string };

/** Names what is held, each finding, its mend and how somebody answers for it. */
export function blockedReason(what: string, blockers: readonly Blocker[]): string {
  const named = blockers.slice(0, mostNamed).map(lineOf);
  const more = blockers.length - named.length;
  const rest = more === 0 ? '' : ` And ${more} more: \`soulfra readiness\`.`;
  return `${what}. ${named.join(' ')}${rest}`;
}

function lineOf({ rule, subject, evidence, mend, fingerprint, folder }: Blocker): string {
  const accept = `soulfra readiness accept ${rule}/${fingerprint} --until DATE --by WHO --reason WHY`;
  return `${rule} ${subject} of ${folder} is critical: ${evidence.slice(0, 200)}. ${mend} Or somebody answers for it: \`${accept}\`.`;
}
