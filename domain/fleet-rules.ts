import { z } from 'zod';
import { durationSchema, durationSeconds } from './durations.ts';
import { embeddingsAlias } from './embeddings.ts';
import { ordinalOf } from './ids.ts';
import { leastPayable, usualFeePercent } from './least-prices.ts';
import { saleWeightsSchema } from './market.ts';
import { nearest } from './nearest.ts';
import { classGiB, gpuClasses, machineQueue } from './task-queues.ts';

/** One broken rule that spans several places of the file. */
export interface RuleBreach {
  at: (string | number)[];
  rule: string;
  mend: string;
}

/**
 * Whatever of the file can be read, absent where it cannot: so the rules between places are checked in the same pass as
 * the types, and all errors are told at once. A model with a wrong number in it still counts as named.
 */
const readable = {
  text: z.string().optional().catch(undefined),
  number: z.number().optional().catch(undefined),
  duration: durationSchema.optional().catch(undefined),
  pollers: z.object({ pollers: z.number() }),
};
const looseFleetSchema = z
  .object({
    machines: z
      .array(
        z
          .object({
            id: readable.text,
            gpus: z
              .array(
                z
                  .object({
                    class: z.enum(gpuClasses).optional().catch(undefined),
                    vramGiB: readable.number,
                    reserveGiB: readable.number,
                  })
                  .catch({}),
              )
              .catch([])
              .default([]),
            modelServer: z.unknown().optional(),
            roles: z.object({ coordination: z.unknown().optional() }).catch({}).default({}),
          })
          .catch({ gpus: [], roles: {} }),
      )
      .optional()
      .catch(undefined),
    models: z
      .array(
        z
          .object({
            id: readable.text,
            machines: z.array(z.string()).optional().catch(undefined),
            quantisations: z
              .record(z.string(), z.object({ smaller: readable.text, fileGiB: readable.number }).catch({}))
              .catch({}),
          })
          .catch({ quantisations: {} }),
      )
      .catch([]),
    archetypes: z
      .array(z.object({ id: readable.text, count: readable.number, model: readable.text }).catch({}))
      .catch([]),
    agents: z.record(z.string(), z.object({ model: readable.text }).catch({})).catch({}),
    sources: z
      .array(
        z
          .object({
            id: readable.text,
            agents: z.array(z.string()).optional().catch(undefined),
            agent: readable.text,
            machine: readable.text,
          })
          .catch({}),
      )
      .catch([]),
    mirror: z.object({ machine: readable.text }).catch({}).default({}),
    limits: z.object({ stallTimeout: readable.duration, heartbeatTimeout: readable.duration }).catch({}),
    gateway: z
      .object({ aliases: z.record(z.string(), z.string().optional().catch(undefined)).catch({}).default({}) })
      .catch({ aliases: {} })
      .default({ aliases: {} }),
    drift: z.object({ driftingAt: readable.number, estrangedAt: readable.number }).catch({}).default({}),
    market: z
      .object({
        saleWeights: saleWeightsSchema.prefault({}).optional().catch(undefined),
        leastPrices: z.record(z.string(), readable.number).catch({}).default({}),
      })
      .catch({ leastPrices: {} })
      .default({ leastPrices: {} }),
    deploy: z
      .object({
        coordination: readable.text,
        standby: readable.text,
        addresses: z.record(z.string(), z.unknown()).catch({}).default({}),
      })
      .catch({ addresses: {} })
      .default({ addresses: {} }),
  })
  .catch({
    machines: undefined,
    models: [],
    archetypes: [],
    agents: {},
    sources: [],
    mirror: {},
    limits: {},
    gateway: { aliases: {} },
    drift: {},
    market: { leastPrices: {} },
    deploy: { addresses: {} },
  });
type LooseFleet = z.infer<typeof looseFleetSchema>;

/** Rules that no single value can break: names that must meet, be unique, or stand in an order. */
export function breachesOf(source: unknown): RuleBreach[] {
  const fleet = looseFleetSchema.parse(source);
  return [
    ...machineBreaches(fleet),
    ...modelBreaches(fleet),
    ...agentBreaches(fleet),
    ...sourceBreaches(fleet),
    ...strayMachine(['mirror', 'machine'], fleet.mirror.machine, fleet),
    ...limitBreaches(fleet),
    ...driftBreaches(fleet),
    ...marketBreaches(fleet),
    ...deployBreaches(fleet),
  ];
}

/** Machines that the deployment names must be there, and the second copy elsewhere than the first. */
function deployBreaches({ machines, deploy }: LooseFleet): RuleBreach[] {
  if (machines === undefined) return [];
  const known = machines.flatMap((machine) => machine.id ?? []);
  const named: [path: string[], id: string | undefined][] = [
    [['coordination'], deploy.coordination],
    [['standby'], deploy.standby],
    ...Object.keys(deploy.addresses).map((id): [string[], string] => [['addresses', id], id]),
  ];
  const breaches = named.flatMap(([path, id]): RuleBreach[] => {
    if (id === undefined || known.includes(id)) return [];
    const meant = nearest(id, known);
    const mend = meant === undefined ? 'Name one of them, or remove it.' : `Did you mean \`${meant}\`?`;
    return [{ at: ['deploy', ...path], rule: `must be a machine of this file: ${known.join(', ')}`, mend }];
  });
  const most = machines.toSorted((a, b) => pollersOf(b) - pollersOf(a))[0]?.id;
  if (deploy.standby !== undefined && deploy.standby === (deploy.coordination ?? most)) {
    const mend = 'Name another machine, or remove it.';
    breaches.push({ at: ['deploy', 'standby'], rule: 'must be another machine than deploy.coordination', mend });
  }
  return breaches;
}

function pollersOf(machine: NonNullable<LooseFleet['machines']>[number]): number {
  const asked = readable.pollers.safeParse(machine.roles.coordination);
  return asked.success ? asked.data.pollers : 0;
}

function machineBreaches(fleet: LooseFleet): RuleBreach[] {
  const breaches: RuleBreach[] = [];
  const firstAt = new Map<string, number>();
  fleet.machines?.forEach((machine, i) => {
    if (machine.id !== undefined) {
      const queue = machineQueue(machine.id);
      const first = firstAt.get(queue);
      if (first === undefined) firstAt.set(queue, i);
      else {
        const rule = `must differ from machines.${first}.id (both would poll the queue ${queue})`;
        breaches.push({ at: ['machines', i, 'id'], rule, mend: 'Rename one of the two.' });
      }
    }
    machine.gpus.forEach((gpu, g) => {
      if (gpu.vramGiB === undefined) return;
      const at = ['machines', i, 'gpus', g];
      if (gpu.reserveGiB !== undefined && gpu.reserveGiB >= gpu.vramGiB) {
        breaches.push({ at: [...at, 'reserveGiB'], rule: 'must be under vramGiB', mend: 'Lower it, 1 is usual.' });
      }
      // Drivers report a little less than the card's name says: a 24 GiB card shows 23.5 to 24.
      if (gpu.class !== undefined && gpu.vramGiB < classGiB(gpu.class) * 0.94) {
        const fits = gpuClasses.findLast((gpuClass) => gpu.vramGiB! >= classGiB(gpuClass) * 0.94);
        const mend = fits === undefined ? 'Check vramGiB.' : `Write ${fits}, or check vramGiB.`;
        breaches.push({ at: [...at, 'class'], rule: `must be a class that ${gpu.vramGiB} GiB reaches`, mend });
      }
    });
    if (machine.gpus.length > 0 && machine.modelServer === undefined) {
      const mend = 'Add `modelServer: { kind: ollama, sequences: 4 }`; without a url the machine runs simulated.';
      breaches.push({ at: ['machines', i, 'modelServer'], rule: 'is required where there are GPUs', mend });
    }
  });
  if (fleet.machines !== undefined && !fleet.machines.some((machine) => machine.roles.coordination !== undefined)) {
    const mend = 'Add `roles: { coordination: { pollers: 8, workflowSlots: 20, activitySlots: 8 } }` to one of them.';
    breaches.push({ at: ['machines'], rule: 'must hold at least one machine with roles.coordination', mend });
  }
  return breaches;
}

function variantsOf(fleet: LooseFleet) {
  return fleet.models.flatMap((model, i) =>
    Object.entries(model.quantisations).map(([name, { smaller, fileGiB }]) => ({
      id: `${model.id ?? ''}_${name}`,
      at: ['models', i, 'quantisations', name] as (string | number)[],
      smaller,
      fileGiB,
    })),
  );
}

function unknownModel(at: (string | number)[], asked: string, known: readonly string[]): RuleBreach {
  const meant = nearest(asked, known);
  const rule = `must be a model of this file: ${known.join(', ') || 'none is given'}`;
  return { at, rule, mend: meant === undefined ? 'Name one of them, or add the model.' : `Did you mean \`${meant}\`?` };
}

function modelBreaches(fleet: LooseFleet): RuleBreach[] {
  const breaches: RuleBreach[] = [];
  const variants = variantsOf(fleet);
  const known = variants.map((variant) => variant.id);
  breaches.push(...strayMachines(fleet));
  const named = [...new Set([...known, ...fleet.models.flatMap(({ id }) => id ?? []), embeddingsAlias])];
  for (const [alias, target] of Object.entries(fleet.gateway.aliases)) {
    if (target !== undefined && !named.includes(target))
      breaches.push(unknownModel(['gateway', 'aliases', alias], target, named));
  }
  const firstAt = new Map<string, string>();
  for (const variant of variants) {
    const first = firstAt.get(variant.id);
    if (first === undefined) firstAt.set(variant.id, variant.at.join('.'));
    else {
      const rule = `must differ from ${first} (both are ${variant.id})`;
      breaches.push({ at: variant.at, rule, mend: 'Rename one of the two.' });
    }
    if (variant.smaller === undefined) continue;
    const at = [...variant.at, 'smaller'];
    const smaller = variants.find((other) => other.id === variant.smaller);
    if (smaller === undefined) breaches.push(unknownModel(at, variant.smaller, known));
    else if (smaller.id === variant.id || (smaller.fileGiB ?? 0) >= (variant.fileGiB ?? Infinity)) {
      const mend = 'Name a model with a smaller file, or remove the key.';
      breaches.push({ at, rule: 'must be a smaller model than this one', mend });
    }
  }
  return breaches;
}

/** A model kept to a machine that is not there would stand nowhere. */
function strayMachines({ machines, models }: LooseFleet): RuleBreach[] {
  if (machines === undefined) return [];
  const known = machines.flatMap((machine) => machine.id ?? []);
  return models.flatMap((model, i) =>
    (model.machines ?? []).flatMap((id, m): RuleBreach[] => {
      if (known.includes(id)) return [];
      const meant = nearest(id, known);
      const mend = meant === undefined ? 'Name one of them, or remove it.' : `Did you mean \`${meant}\`?`;
      return [{ at: ['models', i, 'machines', m], rule: `must be a machine of this file: ${known.join(', ')}`, mend }];
    }),
  );
}

function agentBreaches(fleet: LooseFleet): RuleBreach[] {
  const breaches: RuleBreach[] = [];
  const known = variantsOf(fleet).map((variant) => variant.id);
  const counts = new Map<string, number>();
  fleet.archetypes.forEach((archetype, i) => {
    if (archetype.id !== undefined) {
      if (counts.has(archetype.id)) {
        const mend = 'Rename it, or add its count to the first.';
        breaches.push({ at: ['archetypes', i, 'id'], rule: 'must be used once', mend });
      } else counts.set(archetype.id, archetype.count ?? Infinity);
    }
    if (archetype.model !== undefined && !known.includes(archetype.model)) {
      breaches.push(unknownModel(['archetypes', i, 'model'], archetype.model, known));
    }
  });
  for (const [id, override] of Object.entries(fleet.agents)) {
    if (override.model !== undefined && !known.includes(override.model)) {
      breaches.push(unknownModel(['agents', id, 'model'], override.model, known));
    }
    const archetypeId = id.replace(/-\d+$/, '');
    const count = counts.get(archetypeId);
    const ordinal = ordinalOf(archetypeId, id);
    if (count !== undefined && ordinal !== undefined && ordinal <= count) continue;
    const meant = nearest(archetypeId, counts.keys());
    const reach = count === undefined ? '' : `; ${archetypeId} makes ${count}`;
    breaches.push({
      at: ['agents', id],
      rule: `must be an agent that an archetype makes, such as vesper-001${reach}`,
      mend:
        count !== undefined
          ? `Raise archetype ${archetypeId}'s count, or name a lower number.`
          : meant === undefined
            ? 'Name an archetype of this file, a dash and three digits.'
            : `Did you mean an agent of \`${meant}\`?`,
    });
  }
  return breaches;
}

function sourceBreaches({ sources, archetypes, machines }: LooseFleet): RuleBreach[] {
  const breaches: RuleBreach[] = [];
  const counts = new Map(archetypes.flatMap(({ id, count }) => (id === undefined ? [] : [[id, count ?? Infinity]])));
  const seen = new Set<string>();
  sources.forEach(({ id, agents = [], agent, machine }, i) => {
    const at = ['sources', i];
    if (id !== undefined) {
      if (seen.has(id)) breaches.push({ at: [...at, 'id'], rule: 'must be used once', mend: 'Rename it.' });
      seen.add(id);
    }
    agents.forEach((name, a) => {
      if (!counts.has(name))
        breaches.push(...strayAgent([...at, 'agents', a], name, counts, 'an archetype of this file or '));
    });
    if (agent !== undefined) breaches.push(...strayAgent([...at, 'agent'], agent, counts, ''));
    breaches.push(...strayMachine([...at, 'machine'], machine, { machines }));
  });
  return breaches;
}

function strayMachine(
  at: (string | number)[],
  machine: string | undefined,
  { machines }: Pick<LooseFleet, 'machines'>,
): RuleBreach[] {
  const known = machines?.flatMap(({ id }) => id ?? []);
  if (machine === undefined || known === undefined || known.includes(machine)) return [];
  const meant = nearest(machine, known);
  const mend = meant === undefined ? 'Name one of them.' : `Did you mean \`${meant}\`?`;
  return [{ at, rule: `must be a machine of this file: ${known.join(', ')}`, mend }];
}

function strayAgent(
  at: (string | number)[],
  name: string,
  counts: ReadonlyMap<string, number>,
  orElse: string,
): RuleBreach[] {
  const archetypeId = name.replace(/-\d+$/, '');
  const ordinal = ordinalOf(archetypeId, name);
  if (ordinal !== undefined && ordinal <= (counts.get(archetypeId) ?? 0)) return [];
  const meant = nearest(archetypeId, counts.keys());
  const mend = counts.has(archetypeId)
    ? `Raise archetype ${archetypeId}'s count, or name a lower number.`
    : meant === undefined
      ? 'Name one of this file.'
      : `Did you mean \`${meant}\`?`;
  const rule = `must be ${orElse}an agent that an archetype makes: ${[...counts.keys()].join(', ') || 'none is given'}`;
  return [{ at, rule, mend }];
}

function limitBreaches({ limits }: LooseFleet): RuleBreach[] {
  const { stallTimeout = '8s', heartbeatTimeout = '10s' } = limits;
  if (durationSeconds(stallTimeout) < durationSeconds(heartbeatTimeout)) return [];
  const key = limits.stallTimeout === undefined ? 'heartbeatTimeout' : 'stallTimeout';
  const rule = `leaves stallTimeout (${stallTimeout}) not under heartbeatTimeout (${heartbeatTimeout})`;
  return [{ at: ['limits', key], rule, mend: 'A stalled call must be seen before its heartbeat is missed.' }];
}

function driftBreaches({ drift }: LooseFleet): RuleBreach[] {
  const { driftingAt = 3.5, estrangedAt = 7 } = drift;
  if (driftingAt < estrangedAt) return [];
  const key = drift.estrangedAt === undefined ? 'driftingAt' : 'estrangedAt';
  const rule = `leaves estrangedAt (${estrangedAt}) not over driftingAt (${driftingAt})`;
  return [{ at: ['drift', key], rule, mend: 'An agent drifts before it is estranged: 3.5 and 7 are usual.' }];
}

/** A least price that is named pays the provider's fee out of the platform's part. */
function marketBreaches({ market: { saleWeights, leastPrices } }: LooseFleet): RuleBreach[] {
  if (saleWeights === undefined) return [];
  return Object.entries(leastPrices).flatMap(([currency, amount]) => {
    const least = leastPayable(currency, saleWeights);
    if (amount === undefined || amount >= least) return [];
    const rule = `must be at least ${least}: of less, somebody gets nothing or the platform's ${saleWeights.platform} % does not pay a fee of ${usualFeePercent} % and 0.30 EUR`;
    const mend = `Write ${least} or more, or give the platform more in market.saleWeights.`;
    return [{ at: ['market', 'leastPrices', currency], rule, mend }];
  });
}
