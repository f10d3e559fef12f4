import { z } from 'zod';
import type { Plan } from '../domain/plan.ts';
import { gpuClasses } from '../domain/task-queues.ts';

/** A plan as people read it: homes counted, not listed. */
export const planSummarySchema = z
  .object({
    machines: z.array(
      z.object({
        machineId: z.string(),
        models: z.array(
          z.object({ modelId: z.string(), queue: z.string(), slots: z.int(), counted: z.int(), vramGiB: z.number() }),
        ),
        agents: z.int(),
        vramUsedGiB: z.number(),
        vramUsableGiB: z.number(),
      }),
    ),
    unplaced: z.array(z.object({ agentId: z.string(), reason: z.string() })),
    hours: z
      .array(z.object({ gpuClass: z.enum(gpuClasses), needed: z.number(), available: z.number() }))
      .describe('GPU-hours a day, needed and available'),
  })
  .meta({ id: 'PlanSummary' });
export type PlanSummary = z.infer<typeof planSummarySchema>;

export function planSummary(plan: Plan): PlanSummary {
  const agents = new Map<string, number>();
  for (const machineId of Object.values(plan.homes)) agents.set(machineId, (agents.get(machineId) ?? 0) + 1);
  return {
    machines: plan.machines.map((machine) => ({
      machineId: machine.machineId,
      models: machine.models.map(({ modelId, queue, slots, counted, vramGiB }) => ({
        modelId,
        queue,
        slots,
        counted,
        vramGiB: rounded(vramGiB),
      })),
      agents: agents.get(machine.machineId) ?? 0,
      vramUsedGiB: rounded(machine.vramUsedGiB),
      vramUsableGiB: rounded(machine.vramUsableGiB),
    })),
    unplaced: plan.unplaced,
    hours: plan.hours.map((hours) => ({
      ...hours,
      needed: rounded(hours.needed),
      available: rounded(hours.available),
    })),
  };
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
