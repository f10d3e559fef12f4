import { installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import { workerDefinitions as worker } from '../metrics/worker-definitions.ts';
import { perSecond, quantile, share } from '../promql.ts';
import { buildDashboard } from './bridge.ts';
import { commonVariables, figure, graph, heatmap, labelVariable, table } from './panels.ts';

const machine = 'machine=~"$machine"';
const model = 'model=~"$model"';

/** Machines, what they hold, how full they are, and how old the work before them is. */
export function fleetDashboard() {
  return buildDashboard({
    uid: 'soulfra-fleet',
    title: 'Soulfra: Fleet',
    description: 'Machines × models × slots × GPU memory × age of queues.',
    variables: [
      ...commonVariables(),
      labelVariable('machine', fleet.machineLease.name),
      labelVariable('model', fleet.slots.name),
    ],
    rows: [
      {
        title: 'At a glance',
        panels: [
          figure({
            title: 'Machines ready',
            description: 'Machines that hold a lease and take work.',
            unit: 'short',
            queries: [{ expr: `sum(${fleet.machines.name}{state="ready"})` }],
            runbook: 'machine-lost',
          }),
          figure({
            title: 'Machines lost',
            description: 'Machines whose lease ran out. Their work goes on elsewhere, where their models have a place.',
            unit: 'short',
            red: 1,
            queries: [{ expr: `sum(${fleet.machines.name}{state="lost"})` }],
            runbook: 'machine-lost',
          }),
          figure({
            title: 'Agents without a place',
            description: 'Active agents that the plan finds no home machine for.',
            unit: 'short',
            amber: 1,
            queries: [{ expr: `max(${fleet.unplacedAgents.name})` }],
            runbook: 'degraded-share',
          }),
          figure({
            title: 'Oldest task',
            description: 'How long the oldest task of any queue has waited.',
            unit: 's',
            amber: 300,
            red: 1800,
            queries: [{ expr: `max(${fleet.backlogAge.name})` }],
            runbook: 'queue-backlog',
          }),
          figure({
            title: 'Runs parked',
            description: 'Runs that wait for a machine to come back.',
            unit: 'short',
            amber: 1,
            queries: [{ expr: `sum(${fleet.openRuns.name}{state="parked"})` }],
            runbook: 'machine-lost',
          }),
          figure({
            title: 'Waits for a person',
            description: 'Open notices; `soulfra inbox` lists them.',
            unit: 'short',
            amber: 1,
            queries: [{ expr: `max(${fleet.openNotices.name})` }],
            runbook: 'purchases-stuck',
          }),
        ],
      },
      {
        title: 'Machines',
        panels: [
          graph({
            title: 'Lease',
            description:
              'How long the lease of each machine still holds. It is renewed every 5 s for 15 s; below 0 the machine is lost.',
            unit: 's',
            queries: [{ expr: `max by (machine) (${fleet.machineLease.name}{${machine}})`, legend: '{{machine}}' }],
            runbook: 'machine-lost',
          }),
          graph({
            title: 'Model server answers',
            description:
              'Whether the model server of each machine answers. While it does not, the machine does not poll for it.',
            unit: 'bool',
            queries: [
              { expr: `min by (machine) (${fleet.machineModelServer.name}{${machine}})`, legend: '{{machine}}' },
            ],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Sequences in use',
            description:
              'Part of the sequences of each model server that calls hold. Full is good while the queue is young.',
            unit: 'percentunit',
            queries: [
              {
                expr: `sum by (machine) (${worker.sequencesInUse.name}{${machine}}) / sum by (machine) (${worker.sequences.name}{${machine}} > 0)`,
                legend: '{{machine}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Lease renewals that failed',
            description:
              'Renewals without an answer of the database, or with the answer that the machine is not its own any more.',
            unit: 'ops',
            queries: [
              {
                expr: perSecond(`${worker.leases.name}{${machine},outcome!="renewed"}`, 'machine, outcome'),
                legend: '{{machine}} {{outcome}}',
              },
            ],
            runbook: 'machine-lost',
          }),
        ],
      },
      {
        title: 'Models on machines',
        panels: [
          table({
            title: 'Slots by plan',
            description: 'Sequences that the plan in force gives each model on each machine.',
            unit: 'short',
            queries: [{ expr: `sum by (machine, model) (${fleet.slots.name}{${machine},${model}})` }],
            runbook: 'degraded-share',
          }),
          table({
            title: 'GPU memory by plan',
            description: 'Memory that the plan in force gives each model on each machine.',
            unit: 'bytes',
            queries: [{ expr: `sum by (machine, model) (${fleet.plannedVram.name}{${machine},${model}})` }],
            runbook: 'degraded-share',
          }),
          graph({
            title: 'Age of queues',
            description: 'How long the oldest task of each queue has waited.',
            unit: 's',
            queries: [{ expr: `max by (queue) (${fleet.backlogAge.name})`, legend: '{{queue}}' }],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Tasks in queues',
            description: 'Tasks that wait, as the server of Temporal counts them.',
            unit: 'short',
            queries: [{ expr: `sum by (queue, type) (${fleet.backlog.name})`, legend: '{{queue}} {{type}}' }],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Queues polled',
            description:
              'How many machines poll the queue of each model that a plan gave them. 0: its work waits or goes down the ladder.',
            unit: 'short',
            queries: [{ expr: `sum by (queue) (${worker.polling.name}{${machine}})`, legend: '{{queue}}' }],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Pollers the server sees',
            description: 'Pollers of each queue that the server has seen of late.',
            unit: 'short',
            queries: [{ expr: `sum by (queue, type) (${fleet.pollers.name})`, legend: '{{queue}} {{type}}' }],
            runbook: 'temporal-workers-gone',
          }),
        ],
      },
      {
        title: 'Work of models',
        panels: [
          graph({
            title: 'Wait for a sequence, p95',
            description: 'From the moment work is put in its queue until a model server has a sequence for it.',
            unit: 's',
            queries: [
              { expr: quantile(0.95, `${worker.inferenceWait.name}_bucket{${model}}`, 'model'), legend: '{{model}}' },
            ],
            runbook: 'queue-backlog',
          }),
          heatmap({
            title: 'Time on the model server',
            description: 'How long work holds a sequence.',
            unit: 's',
            queries: [
              {
                expr: `sum by (le) (increase(${worker.inference.name}_bucket{${machine},${model}}[$__rate_interval]))`,
                legend: '{{le}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Tokens',
            description: 'Tokens a second by model, as its server read them and as it answered.',
            unit: 'short',
            queries: [
              {
                expr: perSecond(`${worker.tokens.name}{${machine},${model}}`, 'model, direction'),
                legend: '{{model}} {{direction}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
          graph({
            title: 'Work that failed',
            description: 'Part of the work of each model that ended without a result.',
            unit: 'percentunit',
            queries: [
              {
                expr: share(
                  perSecond(`${worker.inference.name}_count{${model},outcome="failed"}`, 'model'),
                  perSecond(`${worker.inference.name}_count{${model}}`, 'model'),
                ),
                legend: '{{model}}',
              },
            ],
            runbook: 'queue-backlog',
          }),
        ],
      },
      {
        title: 'GPUs',
        panels: [
          graph({
            title: 'Memory used',
            description: 'Part of the memory of each card in use, by whomever.',
            unit: 'percentunit',
            queries: [
              {
                expr: `${worker.gpuMemoryUsed.name}{${machine}} / (${worker.gpuMemory.name}{${machine}} > 0)`,
                legend: '{{machine}} {{gpu}}',
              },
            ],
            runbook: 'gpu',
          }),
          graph({
            title: 'Busy',
            description: 'Part of the time in which each card worked.',
            unit: 'percentunit',
            queries: [{ expr: `${worker.gpuUtilization.name}{${machine}}`, legend: '{{machine}} {{gpu}}' }],
            runbook: 'gpu',
          }),
          graph({
            title: 'Power',
            description: 'Power that each card draws.',
            unit: 'watt',
            queries: [{ expr: `${worker.gpuPower.name}{${machine}}`, legend: '{{machine}} {{gpu}}' }],
            runbook: 'gpu',
          }),
          graph({
            title: 'Temperature',
            description: 'Of each card; most slow down by themselves above 83 °C.',
            unit: 'celsius',
            amber: 83,
            red: 90,
            queries: [{ expr: `${worker.gpuTemperature.name}{${machine}}`, legend: '{{machine}} {{gpu}}' }],
            runbook: 'gpu',
          }),
          graph({
            title: 'Energy by model',
            description:
              'Power drawn for each model, by whose sequences ran; idle: none did. What a model costs is this times your price.',
            unit: 'watt',
            queries: [{ expr: perSecond(`${worker.energy.name}{${machine}}`, 'model'), legend: '{{model}}' }],
            runbook: 'gpu',
          }),
          graph({
            title: 'Cards readable',
            description: 'Whether the cards of each machine could be read.',
            unit: 'bool',
            queries: [{ expr: `min by (machine) (${worker.gpuProbe.name}{${machine}})`, legend: '{{machine}}' }],
            runbook: 'gpu',
          }),
        ],
      },
    ],
  });
}
