import { z } from 'zod';
import { exportFleet, parseFleet } from '../config/fleet-file.ts';
import { fleetNames, parseServiceFiles } from '../config/service-files.ts';
import { DomainError } from '../domain/errors.ts';
import {
  bornOutside,
  fileOwned,
  fleetActions,
  type FleetChange,
  fleetChanges,
  fleetKinds,
  type LivingAgent,
} from '../domain/fleet-changes.ts';
import { type Fleet, fleetAgents, modelVariants } from '../domain/fleet.ts';
import { personaOf } from '../domain/personas.ts';
import { checkCadence } from '../domain/placement-cadence.ts';
import { planPlacement } from '../domain/placement.ts';
import { type PlacementAgent, placementAgent, placementInputOf } from '../domain/placement-input.ts';
import { serviceChanges, servicesTogether, type ServicesTogether } from '../domain/service-changes.ts';
import { type PlaceableService, placeableService } from '../domain/service-placement.ts';
import type { ServiceFile } from '../domain/services.ts';
import type { NewAgent } from '../stores/agents.ts';
import type { Executor } from '../stores/database.ts';
import { measuredRates } from '../stores/placement.ts';
import { type ComingChild, comingChildren, demandOfChild } from '../stores/room.ts';
import { livingAgents } from '../stores/queries/agents.ts';
import { findFleet } from '../stores/queries/fleets.ts';
import { listOwnMachines } from '../stores/queries/machines.ts';
import { findServiceFiles, knownServices } from '../stores/queries/services.ts';
import { findCurrentPlan } from '../stores/queries/plans.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import type { ApiContext } from './context.ts';
import { livingFiles, refuseChangedSince } from './fleet-files.ts';
import { planSummary, planSummarySchema } from './plan-views.ts';

const changeSchema = z
  .object({
    action: z.enum(fleetActions),
    kind: z.enum(fleetKinds),
    id: z.string(),
    fields: z.array(z.object({ field: z.string(), from: z.unknown().optional(), to: z.unknown().optional() })),
    note: z.string().optional(),
  })
  .meta({ id: 'FleetChange' });

export const appliedSchema = z
  .object({
    changes: z.array(changeSchema),
    version: z.int().nullable().describe('Null in a dry run, and where nothing changes'),
    planVersion: z.int().nullable(),
    dryRun: z.literal(true).optional(),
    servicesKept: z.int().optional().describe('Services that stay as they are, since no files of fleet.d came along'),
    plan: z
      .object({ before: planSummarySchema.nullable(), after: planSummarySchema })
      .optional()
      .describe('Only in a dry run'),
  })
  .meta({ id: 'AppliedFleet' });
export type Applied = z.infer<typeof appliedSchema>;

export interface ApplyFleet {
  ownerId: string;
  source: string;
  /** The files of fleet.d/; absent: services stay as they are. */
  serviceFiles?: readonly ServiceFile[] | undefined;
  dryRun: boolean;
  /** The `ETag` of the files that it was made of. */
  ifMatch?: string | undefined;
  undoOf?: number;
}

/** @throws CONFIG_INVALID with every error of the file, CADENCE_TOO_FAST with the cadence that fits, PRECONDITION_FAILED */
export async function applyFleet(context: ApiContext, input: ApplyFleet): Promise<Applied> {
  const { ownerId, source, dryRun, ifMatch, undoOf } = input;
  const { db } = context;
  const previous = await findFleet(db, ownerId);
  const known = await findServiceFiles(db, ownerId);
  const refuseChanged = (agents: readonly LivingAgent[]) =>
    refuseChangedSince(ifMatch, () => previous && livingFiles(previous.fleet, agents, known));
  const { fleet, services } = parsedFiles(source, input.serviceFiles ?? known);
  const placeable = services.services.map(placeableService);
  const { living, demand } = await fitting(db, ownerId, fleet, placeable);
  refuseChanged(living);

  const changes = [
    ...fleetChanges(previous?.fleet, fleet, asTheFileSaid(living, previous?.fleet)),
    // Against the rows also where no files came: what an apply before left half said is told and mended.
    ...serviceChanges(serviceFilesAsTheyWere(known), services, await knownServices(db, ownerId)),
  ];
  const kept = input.serviceFiles === undefined && services.services.length > 0;
  const keptServices = kept ? { servicesKept: services.services.length } : {};
  if (dryRun) {
    const plan = await plansAround(context, ownerId, fleet, demand, placeable);
    return { dryRun: true, changes: answerable(changes), version: null, planVersion: null, plan, ...keptServices };
  }
  if (changes.length === 0 && previous !== undefined) {
    return { changes: [], version: null, planVersion: null, ...keptServices };
  }
  const applied = await context.fleets.apply({
    basedOn: previous?.version ?? null,
    ownerId,
    source,
    fleet,
    agents: newAgents(fleet),
    services: { files: input.serviceFiles ?? known, specs: services.services },
    changes,
    // Again, now that nobody takes room: a whisper may have been given some meanwhile.
    fits: async (tx) => refuseChanged((await fitting(tx, ownerId, fleet, placeable)).living),
    ...(undoOf === undefined ? {} : { undoOf }),
  });
  return { changes: answerable(changes), ...applied, ...keptServices };
}

/** @throws CONFIG_INVALID with every error of all files at once */
function parsedFiles(source: string, files: readonly ServiceFile[]): { fleet: Fleet; services: ServicesTogether } {
  const parsed = parseFleet(source);
  const beside = parseServiceFiles(files, 'fleet' in parsed ? fleetNames(parsed.fleet) : undefined);
  if ('fleet' in parsed && 'files' in beside) return { fleet: parsed.fleet, services: servicesTogether(beside.files) };
  const errors = [parsed, beside].flatMap((read) => ('errors' in read ? read.errors : []));
  const said = errors.map(({ file, line, path, rule }) => {
    const where = file === 'fleet.yaml' ? '' : `${file} `;
    return `${where}line ${line}: ${path === '' ? 'the file' : path} ${rule}`;
  });
  throw new DomainError('CONFIG_INVALID', said.join('; '), { fields: errors });
}

/** What the files said that were applied last; nothing where they do not follow the schema any more, so that all of it is a change. */
function serviceFilesAsTheyWere(files: readonly ServiceFile[]): ServicesTogether | undefined {
  const parsed = parseServiceFiles(files, undefined);
  return 'files' in parsed ? servicesTogether(parsed.files) : undefined;
}

/** A change made by a command and not by hand in the file; checked as a file would be. */
export function applyChangedFleet(
  context: ApiContext,
  { fleet, ...rest }: Omit<ApplyFleet, 'source'> & { fleet: Fleet },
): Promise<Applied> {
  return applyFleet(context, { ...rest, source: exportFleet(fleet) });
}

/**
 * Holds the file against all that the cards are asked for: by its agents, by those born outside of it, and by the children
 * of whispers that were given room.
 * @returns all agents there are, and the demand of those born outside
 * @throws CONFIG_INVALID, CADENCE_TOO_FAST
 */
async function fitting(
  db: Executor,
  ownerId: string,
  fleet: Fleet,
  services: readonly PlaceableService[],
): Promise<{ living: LivingAgent[]; demand: PlacementAgent[] }> {
  // Before the agents: who is born in between counts twice rather than not at all.
  const coming = await comingChildren(db);
  const living = await livingAgents(db, ownerId);
  const others = living.filter(bornOutside);
  refuseModelsTaken(fleet, others);
  const demand = others.map((agent) =>
    placementAgent({ ...agent, model: agent.modelId, leastClass: agent.leastClass as GpuClass }),
  );
  checkCadence(fleet, await measuredRates(db), [...demand, ...childrenUnder(fleet, coming, others)], services);
  return { living, demand };
}

/** A child is born as its parent is by then: as the file has it, where it names the parent; of one that it retires there is none. */
function childrenUnder(fleet: Fleet, coming: readonly ComingChild[], others: readonly LivingAgent[]): PlacementAgent[] {
  const named = new Map(fleetAgents(fleet).map((agent) => [agent.id, agent]));
  const outside = new Set(others.map(({ id }) => id));
  return coming.flatMap((child) => {
    const parent = named.get(child.parentId);
    if (parent === undefined) return outside.has(child.parentId) ? [demandOfChild(child)] : [];
    const { model: modelId, cadence, priority, mayDegrade, leastClass } = parent;
    return [demandOfChild({ ...child, modelId, cadence, priority, mayDegrade, leastClass })];
  });
}

/** Agents born outside the file keep their model; without it their every run would fail. */
function refuseModelsTaken(fleet: Fleet, others: readonly LivingAgent[]): void {
  const known = new Set(modelVariants(fleet).map(({ id }) => id));
  const without = others.filter((agent) => !known.has(agent.modelId));
  if (without.length === 0) return;
  const models = [...new Set(without.map((agent) => agent.modelId))].join(', ');
  const rule = `must keep ${models}: ${without.length} agents born outside the file work on it, such as ${without[0]!.id}`;
  throw new DomainError('CONFIG_INVALID', `models ${rule}`, {
    fields: [{ path: 'models', rule, mend: 'Keep the model, or retire these agents first.' }],
  });
}

function newAgents(fleet: Fleet): NewAgent[] {
  return fleetAgents(fleet).map((agent) => ({
    id: agent.id,
    archetype: agent.archetype.id,
    ...personaOf(agent),
    ...fileOwned(agent),
  }));
}

/** What a run is expected to take is learned from runs; the file's word on it is compared with the file's, not with that. */
function asTheFileSaid(living: readonly LivingAgent[], previous: Fleet | undefined): LivingAgent[] {
  const said = new Map(
    previous === undefined ? [] : fleetAgents(previous).map((agent) => [agent.id, agent.expectedTokens]),
  );
  return living.map((agent) => ({ ...agent, expectedTokens: said.get(agent.id) ?? agent.expectedTokens }));
}

/** The plan that stands, and the one that the fleet would get with the machines that live now and those that are new. */
async function plansAround(
  context: ApiContext,
  ownerId: string,
  fleet: Fleet,
  others: readonly PlacementAgent[],
  services: readonly PlaceableService[],
): Promise<NonNullable<Applied['plan']>> {
  const { db } = context;
  const machines = await listOwnMachines(db, { ownerId, limit: 1000 });
  const before = (await findCurrentPlan(db, ownerId))?.plan ?? null;
  const away = new Set(machines.filter((machine) => !machine.alive).map((machine) => machine.id));
  const here = fleet.machines.map((machine) => machine.id).filter((id) => !away.has(id));
  // Before anything has started no machine lives; then the whole file is what will.
  const alive = new Set(here.length > 0 ? here : fleet.machines.map((machine) => machine.id));
  const after = planPlacement(
    placementInputOf(fleet, {
      aliveMachineIds: alive,
      measuredRates: await measuredRates(db),
      agents: [...fleetAgents(fleet).map(placementAgent), ...others],
      services,
      ...(before === null ? {} : { previous: before }),
    }),
  );
  return { before: before && planSummary(before), after: planSummary(after) };
}

function answerable(changes: readonly FleetChange[]): Applied['changes'] {
  return changes.map((change) => ({ ...change, fields: change.fields.map((field) => ({ ...field })) }));
}
