import { type Fleet, fleetSchema } from '../../domain/fleet.ts';
import type { Finding } from '../../domain/readiness.ts';
import type { ReadinessReport } from '../../domain/readiness-reports.ts';
import { runSoulfra } from '../../test/support/command.ts';
import type { FaultyMonorepo } from '../../test/support/faulty-monorepo.ts';
import { type AdoptStage, eventually } from './adopt-stage.ts';

export interface ReadinessVerdict {
  planted: number;
  named: number;
  /** Findings of what was not planted, other than `unknown` and what is true of the box itself. */
  falseFindings: string[];
  missed: string[];
  /** What could not be looked at: said, and neither well nor ill. */
  unknown: number;
  unknownNamed: string[];
  ofThisBox: number;
  verdict: string;
  exitCode: number;
  /** Findings that the second assessment of the same says are new, returned or gone. */
  changesAgain: number;
}

/** Said of the host where the bench runs, which nobody planted anything on. */
const ofTheBox = ['disk-low', 'port-taken'];

const isOfFixture = ({ rule, place }: Pick<Finding, 'rule' | 'place'>) => !(place === null && ofTheBox.includes(rule));

/** The fleet of the fixture: a third machine that has no card, and no worker here. */
export function withNas(fleet: Fleet): Fleet {
  return fleetSchema.parse({ ...fleet, machines: [{ id: 'nas', roles: {} }, ...fleet.machines] });
}

/** As a user does it: begun by the command, carried out by the workflow in the fleet, read by the command. */
export async function assessThroughFleet(stage: AdoptStage): Promise<ReadinessVerdict> {
  const { monorepo } = stage;
  await assess(stage);
  const { report, exitCode } = await told(stage);
  await assess(stage);
  const again = await told(stage);
  const wanted = new Set(monorepo.planted.map(({ rule, subject }) => `${rule} ${subject}`));
  const judged = report.findings.filter(({ severity }) => severity !== 'unknown');
  const own = judged.filter(isOfFixture);
  const seen = new Set<string>();
  const falseFindings: string[] = [];
  for (const { rule, subject } of own) {
    const name = `${rule} ${subject}`;
    // Told twice it is one too many.
    if (!wanted.has(name) || seen.has(name)) falseFindings.push(name);
    seen.add(name);
  }
  const missed = [...wanted].filter((name) => !seen.has(name));
  return {
    planted: wanted.size,
    named: wanted.size - missed.length,
    falseFindings,
    missed,
    unknown: report.findings.length - judged.length,
    unknownNamed: report.findings
      .filter(({ severity }) => severity === 'unknown')
      .map(({ rule, subject, evidence }) => `${rule} ${subject}: ${evidence}`),
    ofThisBox: judged.length - own.length,
    verdict: report.verdict,
    exitCode,
    changesAgain: [...again.report.findings.filter(({ state }) => state !== 'known'), ...again.report.gone].filter(
      isOfFixture,
    ).length,
  };
}

async function assess({ repository, folder, environment, monorepo, ask }: AdoptStage): Promise<void> {
  const begun = await runSoulfra(['--json', 'readiness', repository, '--on', 'pc2', ...monorepo.options], {
    cwd: folder,
    env: environment,
  });
  if (begun.code !== 0) throw new Error(`the assessment was not begun: ${begun.err}`);
  const { runId } = JSON.parse(begun.out) as { runId: string };
  await assessed(ask, runId);
}

/** Waits for the end of an assessment. @returns how its row stands then */
export async function assessed(ask: AdoptStage['ask'], runId: string): Promise<{ state: string; reason: string }> {
  let run: { state: string; reason: string } | undefined;
  await eventually(
    `the assessment ${runId} has ended`,
    async () => {
      const { body } = await ask('GET', '/readiness/runs?limit=20');
      const runs = (body['items'] ?? []) as Array<{ id: string; state: string; reason: string }>;
      run = runs.find(({ id }) => id === runId);
      return run !== undefined && run.state !== 'running';
    },
    240_000,
  );
  return run!;
}

async function told({ folder, environment }: AdoptStage): Promise<{ report: ReadinessReport; exitCode: number }> {
  const { out, code } = await runSoulfra(['--json', 'readiness'], { cwd: folder, env: environment });
  return { report: JSON.parse(out) as ReadinessReport, exitCode: code };
}

/**
 * What a plain search of all files for declared ports says: a number that stands as a port in two places is a clash.
 * @returns how many of the planted clashes it names, and how many more it names
 */
export function searchedForPorts({ files, planted }: FaultyMonorepo): { named: number; false: number } {
  const places = new Map<number, Set<string>>();
  for (const [name, text] of files) {
    if (!/\.(ya?ml|service|env)$|Dockerfile$/.test(name)) continue;
    for (const [i, line] of text.split('\n').entries()) {
      if (!/port|expose/i.test(line)) continue;
      for (const [number] of line.matchAll(/\b\d{4,5}\b/g))
        places.set(Number(number), (places.get(Number(number)) ?? new Set()).add(`${name}:${i}`));
    }
  }
  const said = new Set([...places].filter(([, all]) => all.size > 1).map(([port]) => port));
  const clashes = planted.filter(({ rule }) => /^port-.*clash$/.test(rule));
  const real = new Set(clashes.map(({ subject }) => Number(subject.split(':')[1])));
  return {
    named: clashes.filter(({ subject }) => said.has(Number(subject.split(':')[1]))).length,
    false: [...said].filter((port) => !real.has(port)).length,
  };
}
