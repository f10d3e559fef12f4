import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { ReadinessActivities } from '../activities/readiness.ts';
import type { Verdict } from '../domain/readiness.ts';
import { assessRun } from './readiness-run.ts';
import { scheduledPeriod } from './scheduled-period.ts';

/** Where a repository lies, and how it is read. */
export interface AssessedRepository {
  folder: string;
  /** It is read there; null: by any machine. */
  machineId: string | null;
  machineFiles: Array<{ machine: string; file: string }>;
  portRules: Array<{ name: string; add: number }>;
}
export interface AssessReadinessInput {
  /** `call-<requestId>`; a scheduled run takes the scheduled time instead. */
  period?: string;
  ownerId?: string;
  /** Default: what the last run of each owner looked at. */
  repository?: AssessedRepository;
}
export interface AssessReadinessResult {
  runs: Array<{ runId: string; verdict: Verdict | null }>;
}

const { openReadinessRuns } = proxyActivities<ReadinessActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '30 seconds', maximumAttempts: 20 },
});

/** Assesses one repository, or every owner's last one, each against the run before. */
export async function assessReadiness(input: AssessReadinessInput): Promise<AssessReadinessResult> {
  const { runs } = await openReadinessRuns({ ...input, period: input.period ?? scheduledPeriod() });
  const done: AssessReadinessResult['runs'] = [];
  for (const { runId, machineId } of runs) done.push({ runId, verdict: await assessRun(runId, machineId) });
  setCurrentDetails(done.map(({ runId, verdict }) => `${runId}: ${verdict ?? 'failed'}`).join('\n'));
  return { runs: done };
}
