import { sweepOverdueSeconds } from './sweeps.ts';
import { isInService, type MachineState, type RunState } from './states.ts';

/** Why a run is where it is, in plain words, out of its rows and what Temporal says of its workflow. */

export interface RunWhyFacts {
  run: {
    state: RunState;
    reason: string;
    attempt: number;
    agentId: string;
    trigger: 'schedule' | 'call' | 'importance';
    wantedModelId: string;
    modelId: string;
    queue: string;
    degraded: boolean;
    machineId: string | null;
    moves: number;
    reflections: number;
    /** Whether its workflow has begun. */
    begun: boolean;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
  };
  agent: { paused: boolean; homeMachineId: string | null; homeReason: string };
  /** Of the fleet: whether each polls the run's queue. */
  machines: ReadonlyArray<{ id: string; state: MachineState; reason: string; polls: boolean; serverUp: boolean }>;
  /** On the same queue: made before it and not begun, and under way. */
  ahead: number;
  running: number;
  /** Calls to the model whose results are stored. */
  steps: readonly string[];
  /** How the attempt before ended. */
  before: { state: RunState; reason: string } | null;
  /** Since when it is parked; null: it is not. */
  parkedAt: string | null;
  workflow: WorkflowSeen;
  /** Of the sweep that is to begin it; absent: none is. */
  sweep?: WorkflowSeen;
}

/** Undefined: Temporal gave no answer. Null: it knows no such workflow. */
export type WorkflowSeen = { status: string; activities: readonly PendingActivity[] } | null | undefined;

export interface PendingActivity {
  name: string;
  /** Tries so far, with the one under way. */
  attempt: number;
  /** Whether a worker has it in hand. */
  started: boolean;
  /** ISO time of the last beginning, or of when it was asked for. */
  since: string | null;
  worker: string | null;
  lastFailure: string | null;
}

interface RunWhy {
  /** In a sentence. */
  why: string;
  /** What else tells. */
  facts: string[];
  /** What it waits for; null: for nothing. */
  waitsFor: string | null;
}

const madeBy = {
  schedule: 'its cadence',
  call: 'a call by hand',
  importance: 'the importance of what happened to the agent',
} as const;

export function whyRun(of: RunWhyFacts): RunWhy {
  const { run, agent, machines, before, steps } = of;
  const serving = machines.filter((machine) => machine.polls && isInService(machine) && machine.serverUp);
  const facts = [
    `Asked for at ${run.createdAt} by ${madeBy[run.trigger]}.`,
    agent.homeMachineId === null
      ? `The plan has no place for ${run.agentId}: ${agent.homeReason || 'none was given'}.`
      : `The plan counts ${run.agentId} on ${agent.homeMachineId}.`,
    ...(agent.paused ? [`${run.agentId} is paused: no sweep takes it up again.`] : []),
    ...(run.degraded
      ? [`Degraded: ${run.modelId} stands in, since no machine served ${run.wantedModelId} when it was to begin.`]
      : []),
    ...(run.moves > 0
      ? [`It was begun ${run.moves + 1} times: a machine that had it was lost, restarted or took its next lease.`]
      : []),
    ...(steps.length > 0 ? [`Stored of it: ${steps.join(', ')}; whoever goes on begins there.`] : []),
    ...(before === null
      ? []
      : [`Attempt ${run.attempt}; the one before ended as ${before.state}${because(before.reason)}.`]),
    ...activityFacts(of),
  ];
  if (run.endedAt !== null) return { why: endedWhy(run), facts, waitsFor: null };
  const away = machines.filter((machine) => !isInService(machine) || !machine.serverUp);
  const open = [
    ...facts,
    serving.length > 0
      ? `${run.queue} is polled by ${serving.map(({ id }) => id).join(', ')}.`
      : `No machine in service polls ${run.queue}.`,
    ...away.map(({ id, state, reason, serverUp }) =>
      isInService({ state }) && !serverUp
        ? `${id}: its model server does not answer.`
        : `${id} is ${state}${because(reason)}.`,
    ),
  ];
  return {
    ...openWhy(
      of,
      serving.map(({ id }) => id),
    ),
    facts: open,
  };
}

function openWhy(of: RunWhyFacts, serving: readonly string[]): Omit<RunWhy, 'facts'> {
  const { run, ahead, running, workflow, parkedAt } = of;
  if (workflow === null && run.begun) return gone(`Its workflow is gone, and its row was not ended`);
  if (workflow === null && (of.sweep === null || isClosed(of.sweep)))
    return {
      why: `Its sweep has ended in Temporal without beginning it: the sweep goes on from its rows, ${sweepOverdueSeconds / 60} minutes after it was begun.`,
      waitsFor: 'the look for overdue workflows, every 5 minutes; `soulfra runs cancel` ends it at once',
    };
  if (workflow === null)
    return {
      why: 'Its workflow is not started yet: its sweep has no room for it, or the relay has not come to it.',
      waitsFor: 'room in the window of its sweep',
    };
  if (workflow !== undefined && isClosed(workflow))
    return gone(`Its workflow is ${workflow.status.toLowerCase()}, and its row was not ended`);
  if (run.state === 'parked')
    return {
      why: `It is parked${parkedAt === null ? '' : ` since ${parkedAt}`}: ${run.reason || `no machine serves ${run.wantedModelId}`}.`,
      waitsFor: `a machine that serves ${run.wantedModelId}`,
    };
  const model = `${run.modelId} on ${run.queue}`;
  if (run.state === 'queued') {
    if (serving.length === 0)
      return {
        why: `It waits for ${model}, which nobody serves now.`,
        waitsFor: `a machine that serves ${run.modelId}`,
      };
    return {
      why: `It waits for its turn: ${ahead} before it, ${running} under way on ${run.queue}.`,
      waitsFor: `a free sequence of ${run.modelId}`,
    };
  }
  const failing = workflow?.activities.find(({ lastFailure, started }) => lastFailure !== null && !started);
  if (failing !== undefined)
    return {
      why: `It is tried again: ${failing.name} failed ${failing.attempt - 1} times, last with: ${failing.lastFailure}.`,
      waitsFor: 'its next try',
    };
  return {
    why: `It is under way${run.machineId === null ? '' : ` on ${run.machineId}`}, since ${run.startedAt ?? run.createdAt}.`,
    waitsFor: run.machineId === null ? `a free sequence of ${run.modelId}` : 'the answer of the model',
  };
}

function endedWhy({ state, reason, reflections, machineId, endedAt }: RunWhyFacts['run']): string {
  switch (state) {
    case 'done':
      return `It is done: ${reflections} reflections, on ${machineId ?? 'no machine'}, at ${endedAt}.`;
    case 'empty':
      return `It ended empty at ${endedAt}${because(reason)}.`;
    case 'canceled':
      return `It was canceled at ${endedAt}${because(reason)}.`;
    default:
      return `It failed at ${endedAt}${because(reason)}.`;
  }
}

const closedStatuses: ReadonlySet<string> = new Set(['COMPLETED', 'FAILED', 'TERMINATED', 'CANCELLED', 'TIMED_OUT']);

/** Whether Temporal says that the workflow has ended. */
export function isClosed(workflow: WorkflowSeen): boolean {
  return workflow !== null && workflow !== undefined && closedStatuses.has(workflow.status);
}

/** The row is open, so no other run of this agent begins. */
function gone(why: string): Omit<RunWhy, 'facts'> {
  return {
    why: `${why}: it is begun anew where it stood, an hour after it was asked for.`,
    waitsFor: 'the look for overdue workflows, every 5 minutes; `soulfra runs cancel` ends it at once',
  };
}

function activityFacts({ workflow }: RunWhyFacts): string[] {
  if (workflow === undefined) return ['Temporal does not answer: what its workflow is at is not known.'];
  if (workflow === null) return [];
  return workflow.activities.map(({ name, attempt, started, since, worker, lastFailure }) => {
    const where = started ? `with ${worker ?? 'a worker'}` : 'waits for a worker';
    const failed = lastFailure === null ? '' : `; the try before failed: ${lastFailure}`;
    return `Step ${name}, try ${attempt}, ${where}${since === null ? '' : ` since ${since}`}${failed}.`;
  });
}

function because(reason: string): string {
  return reason === '' ? '' : `: ${reason}`;
}
