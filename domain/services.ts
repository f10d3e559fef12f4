import { z } from 'zod';
import { slugSchema } from './ids.ts';
import { nearest } from './nearest.ts';
import { externalQueue } from './task-queues.ts';
import { workJoins } from './work.ts';

/** The schema of the files in fleet.d/: config/service-files.ts parses with it, `soulfra import` writes imported.yaml by it. */

/** The name of a service, and its machine where two machines have one of that name: `memory-api@pc2`. */
export const serviceIdSchema = z
  .string()
  .max(127)
  .regex(
    /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?:@[a-z][a-z0-9]*(?:-[a-z0-9]+)*)?$/,
    'must be lower-case letters, digits and single dashes, with @machine behind it where two machines have one',
  );

export const portNumber = z.int().min(1).max(65_535);
/** Where in the repository something stands: `config/startup.yaml:12`. */
const placeSchema = z.string().min(1).max(1_000);
const textSchema = z.string().min(1).max(1_000);
const commandSchema = z.array(z.string().max(10_000)).min(1).max(500);

const portSchema = z.strictObject({
  /** `main` is the one that rules add to. */
  name: slugSchema,
  port: portNumber,
  protocol: z.enum(['tcp', 'udp']).optional(),
  /** Of this machine alone, such as 127.0.0.1. */
  address: z.string().min(1).max(253).optional(),
  /** What it is inside the container. */
  containerPort: portNumber.optional(),
  /** Written in no file: by which rule it follows, such as `main + 1`. */
  derived: z.string().max(100).optional(),
});

const healthCheckSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('http'), port: portNumber, path: z.string().startsWith('/').max(500) }),
  z.strictObject({ kind: z.literal('tcp'), port: portNumber }),
  z.strictObject({
    kind: z.literal('zeromq'),
    port: portNumber,
    /** What is sent; any reply will do. */
    request: z.string().min(1).max(1_000).default('ping'),
  }),
  z.strictObject({ kind: z.literal('command'), command: commandSchema }),
]);

export const serviceSchema = z.strictObject({
  id: serviceIdSchema,
  /** One of fleet.yaml's; absent: the files do not say. */
  machine: slugSchema.optional(),
  kind: z.enum(['process', 'container', 'pod', 'unit']),
  command: commandSchema.optional(),
  image: z.string().min(1).max(500).optional(),
  /** Below the folder that was imported. */
  workingDirectory: z.string().min(1).max(500).optional(),
  ports: z.array(portSchema).max(200).default([]),
  healthCheck: healthCheckSchema.optional(),
  dependsOn: z.array(serviceIdSchema).max(200).default([]),
  /** Whether the fleet is unwell without it. */
  required: z.boolean().default(true),
  /** How it takes work: claimed over HTTP, or by its own Temporal worker; absent: not at all (docs/work.md). */
  joins: z.enum(workJoins).optional(),
  /** Needs a GPU; absent: nothing says so. */
  gpu: z
    .strictObject({ vramGiB: z.number().positive().max(1024).optional(), because: z.array(textSchema).max(50) })
    .optional(),
  /** Models that it asks through the gateway, and how much: they are placed for it as they are for agents. */
  models: z
    .array(
      z.strictObject({
        /** Of fleet.yaml, as agents name it: `llama8b_q4`. */
        model: z.string().min(1).max(200),
        /** What the plan counts on; no limit. */
        tokensPerDay: z.int().min(1).max(1_000_000_000_000).default(100_000),
      }),
    )
    .max(50)
    .default([]),
  source: placeSchema,
  /** Where else it is described. */
  alsoIn: z.array(placeSchema).max(100).optional(),
  /** What the files leave open: variables without a value, names that nothing has. */
  unresolved: z.array(textSchema).max(200).optional(),
});

const portRuleSchema = z.strictObject({
  name: slugSchema,
  /** What is added to the port `to`. */
  add: z.int().min(-65_535).max(65_535),
  to: slugSchema.default('main'),
  source: placeSchema.optional(),
});

const workPackageSchema = z.strictObject({
  id: slugSchema,
  title: textSchema.optional(),
  script: z.string().min(1).max(1_000),
  /** What must be there before it: other work packages, or whatever the script names. */
  needs: z.array(textSchema).max(100).default([]),
  completeness: z.strictObject({
    state: z.enum(['complete', 'partial', 'empty']),
    /** As the script says of itself. */
    percent: z.int().min(0).max(100).optional(),
    /** What is not done yet, each with its place. */
    open: z.array(textSchema).max(50).default([]),
  }),
  machine: slugSchema.optional(),
  source: placeSchema,
});

/** Of all files together, as an import finds at most. */
export const mostServices = 5_000;

export const servicesFileSchema = z.strictObject({
  version: z.literal(1),
  portRules: z.array(portRuleSchema).max(50).default([]),
  services: z.array(serviceSchema).max(mostServices).default([]),
  workPackages: z.array(workPackageSchema).max(1_000).default([]),
});

/** A service as its row holds it, with defaults filled in. */
export type ServiceSpec = z.output<typeof serviceSchema>;

/** A service as an older version stored it: what has been added to the schema since gets its default. */
export function storedService(json: unknown): ServiceSpec {
  return serviceSchema.parse(json);
}

/** What the files in fleet.d/ say, with defaults filled in. */
export type ParsedServices = z.output<typeof servicesFileSchema>;

/** One file of fleet.d/ as it travels and as a version of the fleet keeps it. */
export interface ServiceFile {
  /** In the folder: `imported.yaml`. */
  name: string;
  source: string;
}

/** As it is written, with what has a default left out. */
export type ServicesFile = z.input<typeof servicesFileSchema>;
export type Service = NonNullable<ServicesFile['services']>[number];
export type ServicePort = NonNullable<Service['ports']>[number];
export type HealthCheck = NonNullable<Service['healthCheck']>;
export type PortRule = NonNullable<ServicesFile['portRules']>[number];
/** With all its lists, as an import makes it. */
export interface WholeServicesFile {
  version: 1;
  portRules: PortRule[];
  services: Service[];
  workPackages: WorkPackage[];
}
export type WorkPackage = NonNullable<ServicesFile['workPackages']>[number];

export interface ServiceBreach {
  at: (string | number)[];
  rule: string;
  mend: string;
}

/**
 * The rules between places, over all files of fleet.d/ at once.
 * @param known ids of the services of all files, as often as they stand there
 * @param machines of fleet.yaml, and its models; undefined where there is none to compare with
 */
export function breachesOfServices(
  file: ParsedServices,
  {
    known,
    machines,
    models,
  }: {
    known: ReadonlyMap<string, number>;
    machines: readonly string[] | undefined;
    models: readonly string[] | undefined;
  },
): ServiceBreach[] {
  const breaches: ServiceBreach[] = [];
  const machineOf = (machine: string | undefined, at: ServiceBreach['at']) => {
    if (machine === undefined || machines === undefined || machines.includes(machine)) return;
    breaches.push({ at, rule: `must be one of fleet.yaml's machines`, mend: guess(machine, machines) });
  };
  const queues = Map.groupBy(known.keys(), externalQueue);
  for (const [i, service] of file.services.entries()) {
    const at = ['services', i];
    if ((known.get(service.id) ?? 0) > 1)
      breaches.push({ at: [...at, 'id'], rule: 'is used twice', mend: 'Rename one.' });
    const meets = service.joins && queues.get(externalQueue(service.id))?.find((id) => id !== service.id);
    if (meets !== undefined)
      breaches.push({
        at: [...at, 'id'],
        rule: `must not have the queue of ${meets}`,
        mend: 'Rename one: a dash and an @ are the same in the name of a queue.',
      });
    machineOf(service.machine, [...at, 'machine']);
    const after = service.id.split('@')[1];
    if (after !== undefined && after !== service.machine) {
      breaches.push({
        at: [...at, 'id'],
        rule: 'must name its own machine after the @',
        mend: `Write its machine there.`,
      });
    }
    for (const [j, { model }] of service.models.entries()) {
      const twice = service.models.some((other, k) => k < j && other.model === model);
      if (twice)
        breaches.push({ at: [...at, 'models', j, 'model'], rule: 'is there twice', mend: 'Add them up in one.' });
      else if (models !== undefined && !models.includes(model))
        breaches.push({
          at: [...at, 'models', j, 'model'],
          rule: `must be one of fleet.yaml's models`,
          mend: guess(model, models),
        });
    }
    for (const [j, other] of (service.dependsOn ?? []).entries()) {
      const rule = other === service.id ? 'must not be itself' : known.has(other) ? undefined : 'must be a service';
      if (rule !== undefined)
        breaches.push({
          at: [...at, 'dependsOn', j],
          rule,
          mend: guess(
            other,
            [...known.keys()].filter((id) => id !== service.id),
          ),
        });
    }
  }
  for (const [i, { machine, id }] of file.workPackages.entries()) {
    machineOf(machine, ['workPackages', i, 'machine']);
    if (file.workPackages.some((other, j) => j < i && other.id === id))
      breaches.push({ at: ['workPackages', i, 'id'], rule: 'is used twice', mend: 'Rename one.' });
  }
  return breaches;
}

function guess(word: string, known: readonly string[]): string {
  // `memory-api`, where there is one on each of two machines.
  const meant = known.find((id) => id.split('@')[0] === word) ?? nearest(word, known);
  return meant === undefined ? 'Name one that is there, or remove it.' : `Did you mean \`${meant}\`?`;
}

/** A name as a slug; undefined where it holds no letter or digit. */
export function slugOf(name: string): string | undefined {
  const words = name
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 60)
    .replace(/-+$/, '');
  if (words === '') return undefined;
  return /^[a-z]/.test(words) ? words : `s-${words}`;
}
