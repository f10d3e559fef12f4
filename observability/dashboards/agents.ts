import { installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import { workerDefinitions as worker } from '../metrics/worker-definitions.ts';
import { perSecond, quantile, share } from '../promql.ts';
import { buildDashboard } from './bridge.ts';
import { commonVariables, figure, graph, labelVariable } from './panels.ts';

/** Whether agents live: who is late, what their runs come to, and what feeds them. */
export function agentsDashboard() {
  const model = 'model=~"$model"';
  return buildDashboard({
    uid: 'soulfra-agents',
    title: 'Soulfra: Agents and reflections',
    description: 'Whether agents reflect in time, what their runs come to, and what feeds them.',
    variables: [...commonVariables(), labelVariable('model', `${worker.inference.name}_count`)],
    rows: [
      {
        title: 'At a glance',
        panels: [
          figure({
            title: 'Active',
            description: 'Agents that live.',
            unit: 'short',
            queries: [{ expr: `sum(${fleet.agents.name}{state="active"})` }],
            runbook: 'agents-late',
          }),
          figure({
            title: 'Late',
            description: 'Agents that are more than half a cadence late.',
            unit: 'short',
            amber: 1,
            queries: [{ expr: `sum(${fleet.agentsByLateness.name}{lateness="late"})` }],
            runbook: 'agents-late',
          }),
          figure({
            title: 'Silent',
            description: 'Agents that missed three cadences.',
            unit: 'short',
            red: 1,
            queries: [{ expr: `sum(${fleet.agentsByLateness.name}{lateness="silent"})` }],
            runbook: 'agents-late',
          }),
          figure({
            title: 'Furthest behind',
            description: 'How far the last agent is behind its cadence.',
            unit: 's',
            queries: [{ expr: `max(${fleet.reflectionLag.name}{of="worst"})` }],
            runbook: 'agents-late',
          }),
          figure({
            title: 'Degraded, 1 h',
            description:
              'Part of the reflections that came from a smaller model than the agent’s own; 0 where there were none.',
            unit: 'percentunit',
            amber: 0.05,
            red: 0.2,
            queries: [
              {
                expr: `(sum(increase(${worker.reflections.name}{degraded="yes"}[1h])) / (sum(increase(${worker.reflections.name}[1h])) > 0)) or vector(0)`,
              },
            ],
            runbook: 'degraded-share',
          }),
          figure({
            title: 'Runs failed, 1 h',
            description: 'Runs that ended without a result.',
            unit: 'short',
            amber: 1,
            queries: [{ expr: `sum(increase(${worker.runs.name}{state="failed"}[1h]))` }],
            runbook: 'agents-late',
          }),
        ],
      },
      {
        title: 'In time',
        panels: [
          graph({
            title: 'Agents by lateness',
            description: 'On time up to one and a half cadences, late up to three, then silent.',
            unit: 'short',
            queries: [{ expr: `sum by (lateness) (${fleet.agentsByLateness.name})`, legend: '{{lateness}}' }],
            runbook: 'agents-late',
          }),
          graph({
            title: 'Since the last reflection',
            description: 'Of the middle agent, of the twentieth worst of a hundred, and of the worst.',
            unit: 's',
            queries: [{ expr: `max by (of) (${fleet.heartbeatAge.name})`, legend: '{{of}}' }],
            runbook: 'agents-late',
          }),
          graph({
            title: 'Agents by state',
            description: 'Parked and retired agents do not reflect; dormant ones wait to be sold.',
            unit: 'short',
            queries: [{ expr: `sum by (state) (${fleet.agents.name})`, legend: '{{state}}' }],
            runbook: 'agents-late',
          }),
          graph({
            title: 'Open runs',
            description: 'Runs that have not ended, by state.',
            unit: 'short',
            queries: [{ expr: `sum by (state) (${fleet.openRuns.name})`, legend: '{{state}}' }],
            runbook: 'queue-backlog',
          }),
        ],
      },
      {
        title: 'What runs come to',
        panels: [
          graph({
            title: 'Runs ended',
            description: 'By state. Empty: there was nothing new to reflect on.',
            unit: 'ops',
            queries: [{ expr: perSecond(worker.runs.name, 'state'), legend: '{{state}}' }],
            runbook: 'agents-late',
          }),
          graph({
            title: 'Reflections stored',
            description: 'By whether a smaller model stood in.',
            unit: 'ops',
            queries: [{ expr: perSecond(worker.reflections.name, 'degraded'), legend: 'degraded: {{degraded}}' }],
            runbook: 'degraded-share',
          }),
          graph({
            title: 'One reflection on its model, p95',
            description: 'How long the calls of one run hold a sequence.',
            unit: 's',
            queries: [
              {
                expr: quantile(0.95, `${worker.inference.name}_bucket{kind="reflect",${model}}`, 'model'),
                legend: '{{model}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Work of models by kind',
            description: 'How much of what models do is reflection, talk, drops and votes, in sequences held.',
            unit: 'short',
            queries: [{ expr: perSecond(`${worker.inference.name}_sum{${model}}`, 'kind'), legend: '{{kind}}' }],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Runs parked',
            description: 'Times that a run was parked for want of a machine.',
            unit: 'ops',
            queries: [{ expr: perSecond(worker.parked.name, 'machine'), legend: '{{machine}}' }],
            runbook: 'machine-lost',
          }),
          graph({
            title: 'Activities that failed',
            description: 'Part of the executions that failed, by activity. Most are tried again.',
            unit: 'percentunit',
            queries: [
              {
                expr: share(
                  perSecond(`${worker.activities.name}_count{outcome="failed"}`, 'activity'),
                  perSecond(`${worker.activities.name}_count`, 'activity'),
                ),
                legend: '{{activity}}',
              },
            ],
            runbook: 'temporal-requests-fail',
          }),
        ],
      },
      {
        title: 'What feeds them',
        panels: [
          graph({
            title: 'Memories stored',
            description: 'Rows of memories, as Postgres estimates them.',
            unit: 'short',
            queries: [{ expr: `max(${fleet.storedMemories.name})`, legend: 'memories' }],
            runbook: 'agents-late',
          }),
          graph({
            title: 'Memories not yet woven',
            description: 'Memories that have not been held against those of other agents. It falls each hour.',
            unit: 'short',
            queries: [{ expr: `max(${fleet.unwoven.name})`, legend: 'memories' }],
            runbook: 'temporal-workers-behind',
          }),
          graph({
            title: 'Search in memories, p95',
            description: 'Time of one search in the memories of one agent.',
            unit: 's',
            queries: [{ expr: quantile(0.95, `${worker.memorySearch.name}_bucket`, 'machine'), legend: '{{machine}}' }],
            runbook: 'api-slow',
          }),
          graph({
            title: 'Sources',
            description: 'Sources by whether their last poll failed, and items not yet given to every agent.',
            unit: 'short',
            queries: [
              { expr: `sum by (state) (${fleet.sources.name})`, legend: '{{state}}' },
              { expr: `max(${fleet.pendingSourceItems.name})`, legend: 'items pending' },
            ],
            runbook: 'agents-late',
          }),
          graph({
            title: 'Intents',
            description: 'Work that facts in the database have asked for and that is not started. It should be near 0.',
            unit: 'short',
            queries: [
              { expr: `max(${fleet.intents.name})`, legend: 'intents' },
              { expr: `max(${fleet.oldestIntent.name})`, legend: 'oldest, in seconds' },
            ],
            runbook: 'temporal-workers-gone',
          }),
          graph({
            title: 'Searches without vectors',
            description: 'Searches that had to do with words alone, since the embedding was away.',
            unit: 'ops',
            queries: [{ expr: perSecond(worker.memorySearchByWords.name, 'machine'), legend: '{{machine}}' }],
            runbook: 'agents-late',
          }),
        ],
      },
    ],
  });
}
