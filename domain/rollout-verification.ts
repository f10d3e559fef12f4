import type { ReportedFinding } from './readiness-reports.ts';
import type { ReadinessRuleId } from './readiness-rules.ts';
import type { RolloutPackage } from './rollouts.ts';

/** Whether the rules of a package hold: which open findings of an assessment stand against it. */

/** What is known of where things are. */
export interface Places {
  /** All of the fleet. */
  machines: readonly string[];
  /** The machine of each service; absent: it has none. */
  services: ReadonlyMap<string, string>;
}

/** What a rule cannot be told without: where that was not looked at, its silence says nothing. */
const blindBy: Partial<Record<ReadinessRuleId, { rule: ReadinessRuleId; subjects?: readonly string[] }>> = {
  'secret-by-tool': { rule: 'tool-absent', subjects: ['gitleaks'] },
  'dockerfile-by-tool': { rule: 'tool-absent', subjects: ['hadolint'] },
  'code-by-tool': { rule: 'tool-absent', subjects: ['ruff', 'vulture'] },
  'port-taken': { rule: 'live-unknown' },
  'disk-low': { rule: 'live-unknown' },
};

/** The gravest first, as the report has them. @param findings of one assessment, as they are accepted today */
export function standingAgainst(
  { machines, verify }: Pick<RolloutPackage, 'machines' | 'verify'>,
  findings: readonly ReportedFinding[],
  places: Places,
): ReportedFinding[] {
  const named = new Set<string>(verify.rules);
  const patterns = verify.subjects?.map(patternOf);
  const own = new Set(machines ?? places.machines);
  return findings.filter((each) => {
    if (each.accepted !== null) return false;
    const hides = verify.rules.some((rule) => {
      const blind = blindBy[rule as ReadinessRuleId];
      return blind?.rule === each.rule && (blind.subjects === undefined || blind.subjects.includes(each.subject));
    });
    if (!named.has(each.rule) && !hides) return false;
    if (patterns !== undefined && named.has(each.rule)) return patterns.some((pattern) => pattern.test(each.subject));
    const at = machinesOf(each.subject, places);
    // What is of no known machine may be of these.
    return at.length === 0 || at.some((machine) => own.has(machine));
  });
}

/** In words, for the row of the package. */
export function saidAgainst(findings: readonly ReportedFinding[]): string {
  const told = findings
    .slice(0, 3)
    .map(
      ({ rule, fingerprint, subject, evidence, place }) =>
        `${rule}/${fingerprint} ${subject}: ${evidence.slice(0, 300)}${place === null ? '' : ` (${place})`}`,
    );
  const more = findings.length - told.length;
  return `${told.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/** Of what a finding is about: `pc2:7200`, `pc2`, `memory-api@pc2`, or services, which have one. */
function machinesOf(subject: string, { machines, services }: Places): string[] {
  return subject.split(' ').flatMap((word) => {
    const named = machines.find((id) => word === id || word.startsWith(`${id}:`) || word.endsWith(`@${id}`));
    return named ?? services.get(word) ?? [];
  });
}

function patternOf(text: string): RegExp {
  return new RegExp(`^${text.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*')}$`, 's');
}
