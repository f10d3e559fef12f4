import { installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import { workerDefinitions as worker } from '../metrics/worker-definitions.ts';
import type { AlertGroup } from './alert.ts';

/** Machines, agents, and the queues between them. */
export const fleetAlerts: AlertGroup = {
  name: 'fleet',
  alerts: [
    {
      // The state is the truth; the lease names the machine. A machine that was taken out in order has no lease either.
      name: 'MachineLost',
      expr: `max by (machine) (${fleet.machineLease.name} < 0) and on () sum(${fleet.machines.name}{state="lost"}) > 0`,
      for: '1m',
      severity: 'page',
      summary: 'Machine {{ $labels.machine }} is lost: its lease ran out.',
      runbook: 'machine-lost',
      labels: { layer: 'machine' },
      fires: {
        when: {
          [`${fleet.machineLease.name}{machine="mainpc"}`]: '12 8 -50x20',
          [`${fleet.machineLease.name}{machine="pc2"}`]: '12x22',
          [`${fleet.machines.name}{state="lost"}`]: '0 0 1x20',
        },
        at: '5m',
        labels: { machine: 'mainpc' },
      },
      silent: {
        when: {
          [`${fleet.machineLease.name}{machine="mainpc"}`]: '-86400x22',
          [`${fleet.machines.name}{state="lost"}`]: '0x22',
          [`${fleet.machines.name}{state="drained"}`]: '1x22',
        },
        at: '5m',
      },
    },
    {
      // Leases, health and notices are all judged by workflows: where none goes on, every other gauge stays as it was.
      name: 'HealthNotJudged',
      expr: `max(${fleet.healthBehind.name}) > 120`,
      for: '3m',
      severity: 'page',
      summary: 'Nobody judges health: no worker does the work of coordination, or its looks fail.',
      runbook: 'temporal-workers-gone',
      labels: { layer: 'workers' },
      fires: { when: { [fleet.healthBehind.name]: '0+60x30' }, at: '10m', labels: {} },
      silent: { when: { [fleet.healthBehind.name]: '0x10 90x2 0x20' }, at: '15m' },
    },
    {
      // Machines and agents have alerts of their own.
      name: 'PartNotWell',
      expr: `sum by (subject) (${fleet.health.name}{state=~"failing|lost",subject!~"machine|agent"}) > 0`,
      for: '10m',
      severity: 'ticket',
      summary: 'Of the kind {{ $labels.subject }} something is failing by the health model.',
      runbook: 'not-well',
      fires: {
        when: { [`${fleet.health.name}{subject="disk",state="failing"}`]: '1x30' },
        at: '15m',
        labels: { subject: 'disk' },
      },
      silent: {
        when: {
          [`${fleet.health.name}{subject="disk",state="failing"}`]: '0x30',
          [`${fleet.health.name}{subject="disk",state="late"}`]: '1x30',
        },
        at: '15m',
      },
    },
    {
      name: 'ModelServerDown',
      expr: `min by (machine) (${fleet.machineModelServer.name}) == 0`,
      for: '5m',
      severity: 'page',
      summary: 'The model server of {{ $labels.machine }} does not answer: the machine polls for no model.',
      runbook: 'queue-backlog',
      labels: { layer: 'machine' },
      fires: {
        when: { [`${fleet.machineModelServer.name}{machine="mainpc"}`]: '1x3 0x20' },
        at: '12m',
        labels: { machine: 'mainpc' },
      },
      silent: { when: { [`${fleet.machineModelServer.name}{machine="mainpc"}`]: '1x6 0x2 1x20' }, at: '12m' },
    },
    {
      name: 'AgentsLate',
      expr: `sum(${fleet.agentsByLateness.name}{lateness=~"late|silent"}) / (sum(${fleet.agentsByLateness.name}) > 0) > 0.1`,
      for: '15m',
      severity: 'ticket',
      summary: 'More than a tenth of the agents have not reflected within one and a half cadences.',
      runbook: 'agents-late',
      labels: { layer: 'agents' },
      fires: {
        when: {
          [`${fleet.agentsByLateness.name}{lateness="on_time"}`]: '200x40',
          [`${fleet.agentsByLateness.name}{lateness="late"}`]: '40x40',
          [`${fleet.agentsByLateness.name}{lateness="silent"}`]: '0x40',
        },
        at: '20m',
        labels: {},
      },
      silent: {
        when: {
          [`${fleet.agentsByLateness.name}{lateness="on_time"}`]: '290x40',
          [`${fleet.agentsByLateness.name}{lateness="late"}`]: '7x40',
          [`${fleet.agentsByLateness.name}{lateness="silent"}`]: '0x40',
        },
        at: '20m',
      },
    },
    {
      name: 'AgentsSilent',
      expr: `sum(${fleet.agentsByLateness.name}{lateness="silent"}) > 0`,
      for: '30m',
      severity: 'ticket',
      summary: 'An agent has missed three of its cadences.',
      runbook: 'agents-late',
      labels: { layer: 'agents' },
      fires: {
        when: { [`${fleet.agentsByLateness.name}{lateness="silent"}`]: '1x60' },
        at: '40m',
        labels: {},
      },
      silent: { when: { [`${fleet.agentsByLateness.name}{lateness="silent"}`]: '0x60' }, at: '40m' },
    },
    {
      name: 'QueueBacklogOld',
      expr: `max by (queue) (${fleet.backlogAge.name}{queue!="coordination"}) > 1800`,
      for: '10m',
      severity: 'ticket',
      summary: 'The oldest task of {{ $labels.queue }} has waited more than half an hour.',
      runbook: 'queue-backlog',
      labels: { layer: 'backlog' },
      fires: {
        when: { [`${fleet.backlogAge.name}{queue="inference_24g_qwen32b_q4",type="activity"}`]: '1700+60x40' },
        at: '20m',
        labels: { queue: 'inference_24g_qwen32b_q4' },
      },
      silent: {
        // A cycle that keeps a card busy for some minutes is what the fleet is for.
        when: { [`${fleet.backlogAge.name}{queue="inference_24g_qwen32b_q4",type="activity"}`]: '0+60x12 0x30' },
        at: '20m',
      },
    },
    {
      name: 'CoordinationBacklogOld',
      expr: `max by (type) (${fleet.backlogAge.name}{queue="coordination"}) > 60`,
      for: '5m',
      severity: 'page',
      summary: 'Work of the coordination queue has waited more than a minute ({{ $labels.type }}).',
      runbook: 'temporal-workers-behind',
      labels: { layer: 'backlog' },
      fires: {
        when: { [`${fleet.backlogAge.name}{queue="coordination",type="workflow"}`]: '0+30x30' },
        at: '15m',
        labels: { type: 'workflow' },
      },
      silent: { when: { [`${fleet.backlogAge.name}{queue="coordination",type="workflow"}`]: '3x30' }, at: '15m' },
    },
    {
      name: 'DegradedShare',
      expr: `sum(increase(${worker.reflections.name}{degraded="yes"}[1h])) / sum(increase(${worker.reflections.name}[1h])) > 0.2 and sum(increase(${worker.reflections.name}[1h])) > 10`,
      for: '15m',
      severity: 'ticket',
      summary: 'More than a fifth of the reflections of the last hour came from a smaller model than the agent’s own.',
      runbook: 'degraded-share',
      labels: { layer: 'degraded' },
      fires: {
        when: {
          [`${worker.reflections.name}{degraded="yes",machine="pc2"}`]: '0+1x90',
          [`${worker.reflections.name}{degraded="no",machine="pc2"}`]: '0+2x90',
        },
        at: '80m',
        labels: {},
      },
      silent: {
        // Two of four in a quiet hour.
        when: {
          [`${worker.reflections.name}{degraded="yes",machine="pc2"}`]: '0x30 1x30 2x30',
          [`${worker.reflections.name}{degraded="no",machine="pc2"}`]: '0x30 1x30 2x30',
        },
        at: '80m',
      },
    },
    {
      name: 'RunsParkedLong',
      expr: `max(${fleet.oldestParked.name}) > 3600`,
      for: '5m',
      severity: 'ticket',
      summary: 'A run has been parked for more than an hour for want of a machine.',
      runbook: 'machine-lost',
      labels: { layer: 'agents' },
      fires: { when: { [fleet.oldestParked.name]: '3500+60x30' }, at: '15m', labels: {} },
      silent: { when: { [fleet.oldestParked.name]: '0+60x30' }, at: '15m' },
    },
    {
      name: 'AgentsUnplaced',
      expr: `max(${fleet.unplacedAgents.name}) > 0`,
      for: '15m',
      severity: 'ticket',
      summary: 'Active agents have no home machine: the plan has no place for their models.',
      runbook: 'degraded-share',
      labels: { layer: 'agents' },
      fires: { when: { [fleet.unplacedAgents.name]: '3x40' }, at: '20m', labels: {} },
      silent: { when: { [fleet.unplacedAgents.name]: '3x10 0x30' }, at: '20m' },
    },
    {
      name: 'LeaseRenewalsFail',
      expr: `sum by (machine) (increase(${worker.leases.name}{outcome!="renewed"}[10m])) > 3`,
      for: '5m',
      severity: 'ticket',
      summary: 'Machine {{ $labels.machine }} often fails to renew its lease: it is near to being lost.',
      runbook: 'machine-lost',
      fires: {
        when: { [`${worker.leases.name}{machine="pc2",outcome="failed"}`]: '0+1x40' },
        at: '20m',
        labels: { machine: 'pc2' },
      },
      silent: {
        when: {
          [`${worker.leases.name}{machine="pc2",outcome="failed"}`]: '0x10 1x30',
          [`${worker.leases.name}{machine="pc2",outcome="renewed"}`]: '0+12x40',
        },
        at: '20m',
      },
    },
    {
      name: 'GpuHot',
      expr: `max by (machine, gpu) (${worker.gpuTemperature.name}) > 90`,
      for: '10m',
      severity: 'ticket',
      summary: 'Card {{ $labels.gpu }} of {{ $labels.machine }} is above 90 °C.',
      runbook: 'gpu',
      fires: {
        when: { [`${worker.gpuTemperature.name}{machine="mainpc",gpu="0"}`]: '93x30' },
        at: '15m',
        labels: { machine: 'mainpc', gpu: '0' },
      },
      silent: { when: { [`${worker.gpuTemperature.name}{machine="mainpc",gpu="0"}`]: '93x5 80x30' }, at: '15m' },
    },
    {
      name: 'GpuUnreadable',
      expr: `min by (machine) (${worker.gpuProbe.name}) == 0`,
      for: '10m',
      severity: 'ticket',
      summary: 'The cards of {{ $labels.machine }} cannot be read.',
      runbook: 'gpu',
      fires: {
        when: { [`${worker.gpuProbe.name}{machine="mainpc"}`]: '0x30' },
        at: '15m',
        labels: { machine: 'mainpc' },
      },
      silent: { when: { [`${worker.gpuProbe.name}{machine="mainpc"}`]: '1x30' }, at: '15m' },
    },
    {
      name: 'GpuGone',
      expr: `max by (machine) (${worker.gpuCardsExpected.name}) > max by (machine) (${worker.gpuCards.name})`,
      for: '10m',
      severity: 'ticket',
      summary: 'Machine {{ $labels.machine }} shows fewer cards than fleet.yaml names.',
      runbook: 'gpu',
      fires: {
        when: {
          [`${worker.gpuCardsExpected.name}{machine="mainpc"}`]: '1x30',
          [`${worker.gpuCards.name}{machine="mainpc"}`]: '1x3 0x27',
        },
        at: '15m',
        labels: { machine: 'mainpc' },
      },
      alsoFires: [
        {
          as: 'one of two is gone',
          when: {
            [`${worker.gpuCardsExpected.name}{machine="mainpc"}`]: '2x30',
            [`${worker.gpuCards.name}{machine="mainpc"}`]: '2x3 1x27',
          },
          at: '15m',
          labels: { machine: 'mainpc' },
        },
      ],
      silent: {
        when: {
          // A card more than is named.
          [`${worker.gpuCardsExpected.name}{machine="mainpc"}`]: '1x30',
          [`${worker.gpuCards.name}{machine="mainpc"}`]: '2x30',
          [`${worker.gpuCardsExpected.name}{machine="pc2"}`]: '1x30',
          [`${worker.gpuCards.name}{machine="pc2"}`]: '1x3 0x2 1x25',
        },
        at: '15m',
      },
    },
  ],
};
