import { z } from 'zod';
import { appVersion } from '../../config/app-version.ts';
import { checkStates } from '../../domain/doctor.ts';
import { judgeMachine, servicesOnCards } from '../../domain/doctor-machines.ts';
import { modelVariants } from '../../domain/fleet.ts';
import { plannedMachine } from '../../domain/plan.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import { listOwnMachines } from '../../stores/queries/machines.ts';
import { findCurrentPlan } from '../../stores/queries/plans.ts';
import { listMachineReports } from '../../stores/machine-reports.ts';
import type { ApiContext } from '../context.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses } from '../schemas.ts';
import type { Api } from '../types.ts';

const mostMachines = 1_000;

const checkSchema = z
  .object({
    id: z.string().describe('What was looked at'),
    machine: z.string().nullable(),
    state: z.enum(checkStates),
    detail: z.string(),
    mend: z.string().nullable().describe('A command to run or a line to change; null where nothing is amiss'),
  })
  .meta({ id: 'Check' });

export function doctorRoutes(app: Api, { db }: ApiContext): void {
  const version = appVersion();

  app.route({
    method: 'GET',
    url: '/v1/doctor',
    config: { role: 'operator' },
    schema: {
      tags: ['health'],
      summary: 'What the machines of the fleet last reported of their hosts, each judged with its mend',
      response: {
        200: z.object({ app: z.string(), node: z.string(), checks: z.array(checkSchema) }),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const [machines, fleet, plan, reports] = await Promise.all([
        listOwnMachines(db, { ownerId, limit: mostMachines }),
        findFleet(db, ownerId),
        findCurrentPlan(db, ownerId),
        listMachineReports(db, ownerId),
      ]);
      const variants = new Map(modelVariants(fleet?.fleet ?? { models: [] }).map((variant) => [variant.id, variant]));
      const checks = machines.flatMap((row) => {
        const machine = fleet?.fleet.machines.find(({ id }) => id === row.id);
        if (!machine) return [];
        const stored = reports.find(({ machineId }) => machineId === row.id);
        const kind = machine.modelServer?.kind ?? 'openai';
        const models = (plan?.plan ? plannedMachine(plan.plan, row.id)?.models : undefined) ?? [];
        return judgeMachine(
          {
            machine,
            state: row.state,
            reason: row.reason,
            alive: row.alive,
            yields: row.yields,
            report: stored?.report ?? null,
            reportAgeSeconds: stored?.ageSeconds ?? 0,
            planned: models.map(({ modelId, vramGiB }) => ({
              modelId,
              servedAs: variants.get(modelId)?.servedAs[kind] ?? modelId,
              vramGiB,
            })),
            services: servicesOnCards(plan?.plan ?? {}, row.id),
          },
          version,
        );
      });
      return { app: version, node: process.version, checks };
    },
  });
}
