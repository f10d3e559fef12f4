import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { ClusterActivities } from '../activities/clusters.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface ClusterAgentsInput {
  /** `call-<requestId>`; a scheduled run takes the scheduled time instead. */
  period?: string;
}
export interface ClusterAgentsResult {
  runId: string;
  agents: number;
  clusters: number;
  /** Agents in no cluster. */
  apart: number;
  sampledShare: number;
}

const { clusterPeriod } = proxyActivities<ClusterActivities>({
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'groups agents by what they say and how they drift',
});

/** Groups agents by what they say and how they drift, and follows the groups from run to run. */
export async function clusterAgents({ period }: ClusterAgentsInput): Promise<ClusterAgentsResult> {
  const result = await clusterPeriod({ period: period ?? scheduledPeriod() });
  setCurrentDetails(`${result.clusters} clusters of ${result.agents} agents, ${result.apart} apart`);
  return result;
}
