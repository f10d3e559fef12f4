import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import type { Fleet } from '../domain/fleet.ts';
import { plannedMachine } from '../domain/plan.ts';
import { machineStates, runsAs } from '../domain/states.ts';
import { gpuClasses, modelsOfQueues } from '../domain/task-queues.ts';
import { type AgentCounts, countAgents } from '../stores/queries/agents.ts';
import { findFleet } from '../stores/queries/fleets.ts';
import { listOwnMachines, type MachineView } from '../stores/queries/machines.ts';
import { findCurrentPlan, type PlanView } from '../stores/queries/plans.ts';
import type { ApiContext } from './context.ts';
import { readIdleModels } from './presence.ts';
import { timeSchema } from './schemas.ts';

export const machineSchema = z
  .object({
    id: z.string(),
    labels: z.array(z.string()),
    gpus: z.array(z.object({ name: z.string(), class: z.enum(gpuClasses), vramGiB: z.number() })),
    modelServer: z.object({ kind: z.string(), url: z.string().nullable(), sequences: z.int() }).nullable(),
    runsAs: z.enum(runsAs).describe('simulated: extractive stands in for every model'),
    state: z.enum(machineStates),
    reason: z.string(),
    alive: z.boolean(),
    models: z.array(z.string()).describe('Models that the plan keeps on it'),
    resident: z
      .array(z.string())
      .describe(
        'Models that it has loaded by its last heartbeat, of the plan or not yet let go; of a lost machine none',
      ),
    idle: z
      .array(z.object({ modelId: z.string(), since: timeSchema }))
      .describe('Models that left its memory because nothing called them; the next call has them loaded again'),
    lacks: z.array(z.string()).describe('Models of the plan whose loading failed the last time'),
    slots: z.int().describe('Sequences it serves at once: those of its models, at most those of its server'),
    agents: z.int().describe('Agents whose home it is'),
    polls: z.array(z.string()).describe('Task queues it serves now'),
    epoch: z.int(),
    leaseUntil: timeSchema.nullable(),
    planVersion: z.int().nullable(),
    identity: z.string().nullable(),
    yields: z.string().nullable().describe('Why it gives its GPUs to their owner now; null: it does not'),
    fleetVersion: z
      .int()
      .nullable()
      .describe('Version of fleet.yaml that its worker goes by; null: it has not said so'),
    drifts: z.boolean().describe('Whether it lives and goes by another version than the one that is applied'),
  })
  .meta({ id: 'Machine' });
export type MachineAnswer = z.infer<typeof machineSchema>;

/** What is known of the owner's machines: rows, file and plan laid together. */
export async function machineAnswers(
  context: Pick<ApiContext, 'db' | 'redis' | 'log'>,
  page: { ownerId: string; limit: number; after?: string | undefined; id?: string },
): Promise<MachineAnswer[]> {
  const { db } = context;
  const [machines, fleet, plan, agents] = await Promise.all([
    listOwnMachines(db, page),
    findFleet(db, page.ownerId),
    findCurrentPlan(db, page.ownerId),
    countAgents(db, page.ownerId),
  ]);
  const idle = await readIdleModels(context, { machines });
  return machines.map((machine) => ({
    ...machineAnswer(machine, fleet?.fleet, plan, agents),
    ...loadedOn(machine, idle.get(machine.id)),
    drifts: machine.alive && machine.fleetVersion !== null && machine.fleetVersion !== fleet?.version,
  }));
}

export async function machineAnswerOf(
  context: Pick<ApiContext, 'db' | 'redis' | 'log'>,
  ownerId: string,
  id: string,
): Promise<MachineAnswer> {
  const [machine] = await machineAnswers(context, { ownerId, limit: 1, id });
  if (!machine) throw new DomainError('NOT_FOUND', `no machine ${id}`);
  return machine;
}

function machineAnswer(
  { leaseUntil, ...machine }: MachineView,
  fleet: Fleet | undefined,
  plan: PlanView | undefined,
  agents: AgentCounts,
): Omit<MachineAnswer, 'drifts' | 'resident' | 'idle'> {
  const declared = fleet?.machines.find(({ id }) => id === machine.id);
  const models = (plan?.plan ? plannedMachine(plan.plan, machine.id)?.models : undefined) ?? [];
  const server = declared?.modelServer;
  const planned = models.reduce((sum, model) => sum + model.slots, 0);
  return {
    ...machine,
    leaseUntil,
    labels: declared?.labels ?? [],
    gpus: (declared?.gpus ?? []).map((gpu) => ({ name: gpu.name, class: gpu.class, vramGiB: gpu.vramGiB })),
    modelServer: server ? { kind: server.kind, url: server.url ?? null, sequences: server.sequences } : null,
    models: models.map((model) => model.modelId),
    slots: Math.min(planned, server?.sequences ?? planned),
    agents: agents.byMachine[machine.id] ?? 0,
  };
}

/** A worker polls for a model as long as it has it, or has it loaded again by the next call. */
function loadedOn(
  { alive, polls }: Pick<MachineView, 'alive' | 'polls'>,
  idleSince: ReadonlyMap<string, string> = new Map(),
): Pick<MachineAnswer, 'resident' | 'idle'> {
  const served = alive ? modelsOfQueues(polls) : [];
  return {
    resident: served.filter((modelId) => !idleSince.has(modelId)),
    idle: served.flatMap((modelId) => {
      const since = idleSince.get(modelId);
      return since === undefined ? [] : [{ modelId, since }];
    }),
  };
}
