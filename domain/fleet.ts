import { z } from 'zod';
import { backupSettingsSchema } from './backup-settings.ts';
import { ballotsSchema } from './ballots.ts';
import { deploySettingsSchema } from './deploy-settings.ts';
import { durationSchema, durationSeconds } from './durations.ts';
import { egoSchema } from './ego.ts';
import { breachesOf } from './fleet-rules.ts';
import { agentId, nameSchema, slugSchema } from './ids.ts';
import { digestsSchema } from './model-manifest.ts';
import { mirrorSettingsSchema } from './public-mirror.ts';
import { personaLimits } from './persona-files.ts';
import { type GpuClass, gpuClasses } from './task-queues.ts';
import { embeddingSettingsSchema } from './embeddings.ts';
import { gatewaySchema } from './gateway.ts';
import { guildsSchema } from './guilds.ts';
import { marketSchema } from './market.ts';
import { notifySchema } from './notify.ts';
import { sourceSchema } from './sources.ts';
import { spawningSchema } from './spawn-policy.ts';
import { budgetsSchema } from './token-budgets.ts';
import { yieldSchema } from './yield.ts';

export { durationSeconds };

/** The schema of fleet.yaml: config/fleet-file.ts parses with it, the database keeps each applied version as this JSON. */

const gpuClassSchema = z.enum(gpuClasses);

const gpuSchema = z.strictObject({
  /** As a person says it: `RTX 4090`. */
  name: z.string().min(1).max(60),
  class: gpuClassSchema,
  vramGiB: z.number().positive().max(1024),
  /** Never planned for: the desktop, the owner's own programs, fragmentation. */
  reserveGiB: z.number().nonnegative().default(1),
});

const coordinationSchema = z.strictObject({
  pollers: z.int().min(2).max(100),
  workflowSlots: z.int().min(1).max(1000),
  activitySlots: z.int().min(1).max(1000),
});

const modelServerSchema = z.strictObject({
  kind: z.enum(['ollama', 'vllm', 'llamacpp', 'openai']),
  /** OpenAI-compatible base, such as http://127.0.0.1:11434/v1. Absent: nothing to call, the machine runs simulated. */
  url: z.url({ protocol: /^https?$/ }).optional(),
  /** Most sequences the server runs at once, over all its models. */
  sequences: z.int().min(1).max(1024),
  /** Unloads a model that no call has used for so long; the next call has it loaded again. Default: models stay in memory. */
  unloadAfter: durationSchema.optional(),
});

const machineSchema = z.strictObject({
  id: slugSchema,
  labels: z.array(z.string().max(60)).default([]),
  /** Name of the host that is this machine; default: its id. */
  host: z.string().max(253).optional(),
  gpus: z.array(gpuSchema).max(16).default([]),
  modelServer: modelServerSchema.optional(),
  roles: z.strictObject({ coordination: coordinationSchema.optional() }).default({}),
  /** When it gives its GPUs to the person who owns them; default: never. */
  yield: yieldSchema.optional(),
  /** Port of its worker's own metrics; Temporal Core's are on the next. Default: by `metrics.port` and its place here. */
  metricsPort: z.int().min(1024).max(65_534).optional(),
  /** Where an nvidia_gpu_exporter tells of its cards; default: `nvidia-smi`, where the worker runs on the machine itself. */
  gpuExporter: z.url({ protocol: /^https?$/ }).optional(),
});

const rateSchema = z.strictObject({
  /** Tokens a second of one sequence alone. */
  tokensPerSecond: z.number().positive(),
  /** Each further sequence divides the rate of each by 1 + slowdown × (sequences − 1). */
  slowdown: z.number().nonnegative().max(1),
});

const quantisationSchema = z.strictObject({
  /** Size of the weights file in GiB. */
  fileGiB: z.number().positive(),
  /** Starting values; measured ones replace them. A class without one borrows from its neighbours. */
  rates: z.partialRecord(gpuClassSchema, rateSchema).refine((rates) => Object.keys(rates).length > 0, {
    error: 'must give a rate for at least one class',
    params: { mend: 'Add one, such as `24g: { tokensPerSecond: 120, slowdown: 0.06 }`.' },
  }),
  /** What model servers call it, such as { ollama: 'qwen2.5:32b' }; default: the model's own id. */
  servedAs: z.partialRecord(z.enum(['ollama', 'vllm', 'llamacpp', 'openai']), z.string().min(1)).default({}),
  /** Model id (`<model>_<quantisation>`) that an agent who may degrade falls back to. */
  smaller: nameSchema.optional(),
  /** Whether it may lie across all cards of one machine where no single card holds it. */
  span: z.boolean().optional(),
  /** Versions that may be served, by kind of server: the first is what every machine is to have. Default: whatever it has. */
  digests: digestsSchema.optional(),
  /** What the first of them takes on the disk. */
  bytes: z.int().positive().optional(),
});

const modelSchema = z.strictObject({
  id: nameSchema,
  family: z.string().min(1).max(60),
  /** SPDX identifier or the name it is published under: domain/model-licenses.ts. */
  license: z.string().max(120).optional(),
  /** Whether the license lets what the model writes be sold; default: what is known of the license by its name. */
  commercialUse: z.boolean().optional(),
  layers: z.int().positive(),
  queryHeads: z.int().positive(),
  kvHeads: z.int().positive(),
  headSize: z.int().positive(),
  /** Tokens of context, pinned per use and never cut silently. */
  context: z.strictObject({ reflect: z.int().min(512), talk: z.int().min(512) }),
  /** Only these machines may hold it, such as the one whose Ollama has it; default: every machine it fits. */
  machines: z.array(slugSchema).min(1).max(1000).optional(),
  quantisations: z
    .record(nameSchema, quantisationSchema)
    .refine((quantisations) => Object.keys(quantisations).length > 0, {
      error: 'must give at least one quantisation',
      params: { mend: 'Add one, such as `q4: { fileGiB: 4.58, rates: … }`.' },
    }),
});

/** Living memories that an agent may have; over it the least useful are consolidated. */
const memoryLimitSchema = z.int().min(100).max(100_000);

const archetypeSchema = z.strictObject({
  id: slugSchema,
  count: z.int().min(0).max(100_000),
  /** What such an agent does, to stand after its name: `keeps the evening watch and writes down what changed`. */
  summary: z.string().min(1).max(300),
  traits: z.array(z.string().min(1).max(personaLimits.traitChars)).min(1).max(personaLimits.traits),
  maskSeed: z.int().nonnegative(),
  cadence: durationSchema,
  /** Model id `<model>_<quantisation>`. */
  model: nameSchema,
  /** No model that fits a smaller card than this serves the agent, not even when it degrades. */
  leastClass: gpuClassSchema,
  /** Whether the model's `smaller` may stand in, marked `degraded`. */
  mayDegrade: z.boolean(),
  tokensPerDay: z.int().positive(),
  /** Weight of a served token in placement. */
  priority: z.number().positive().max(100).default(1),
  /** Tokens a run is expected to take until five runs have been seen. */
  expectedTokens: z.int().positive().max(32_768).default(400),
  /** Reflects at once when the importance of what happened to it since it last did adds up to this; 0: never. */
  importanceThreshold: z.int().min(0).max(1_000_000).default(150),
  /** Default: that of `limits`. */
  memoriesPerAgent: memoryLimitSchema.optional(),
});

/** What one agent may have otherwise than its archetype. */
const overrideSchema = archetypeSchema
  .omit({ id: true, count: true })
  .extend({
    // Without their defaults, which would override the archetype's own.
    priority: archetypeSchema.shape.priority.unwrap(),
    expectedTokens: archetypeSchema.shape.expectedTokens.unwrap(),
    importanceThreshold: archetypeSchema.shape.importanceThreshold.unwrap(),
    name: z.string().min(1).max(personaLimits.nameChars),
    persona: z.string().min(1).max(personaLimits.personaChars),
  })
  .partial();

const limitsSchema = z.strictObject({
  /** Without a heartbeat for this long an inference attempt is given to another machine. */
  heartbeatTimeout: durationSchema.default('10s'),
  /** Without progress for this long the call is aborted; under the heartbeat time-out. */
  stallTimeout: durationSchema.default('8s'),
  /** An inference call may take this long in all. */
  callTimeout: durationSchema.default('10m'),
  /** A rung of the ladder asks where its machine is after waiting this long. */
  scheduleToStart: durationSchema.default('30s'),
  /** A parked run gives up after this long; the next period says so. */
  parkedFor: durationSchema.default('1h'),
  /** Window of a sweep per queue = this × the slots that poll it (facts: 1.15). */
  windowOverSlots: z.number().min(1).max(4).default(1.15),
  requestsPerMinute: z.int().positive().default(600),
  /** How deep reflections may rest on reflections; what would lie deeper is not stored. */
  reflectionDepth: z.int().min(1).max(10).default(4),
  /** Vectors of memories that each process may keep in memory. */
  memoryCacheMiB: z.int().min(1).max(65_536).default(256),
  memoriesPerAgent: memoryLimitSchema.default(20_000),
});

const threadsSchema = z.strictObject({
  /** Memories of different agents no further apart than this may be of one event. */
  eventWindow: durationSchema.default('2h'),
  /** Words come back within this, or are no echo. */
  echoWindow: durationSchema.default('3d'),
  /** A thread ends when its last memory happened longer ago than this. */
  endsAfter: durationSchema.default('7d'),
});

/** Conversations. */
const talkSchema = z.strictObject({
  /** How long after its last message a conversation keeps one sequence of its model free for the next; 0s: not at all. */
  keepFor: z
    .string()
    .regex(/^(0s|[1-9]\d{0,4}[smhd])$/, 'must be a number and s, m, h or d, such as 3m, or 0s')
    .default('3m'),
  /** A message for which no machine serves a model fails after this long. */
  waitFor: durationSchema.default('1m'),
  /** Memories looked up for a message at the most; as many as fit the context are shown. */
  memories: z.int().min(1).max(100).default(12),
});

const driftSchema = z.strictObject({
  /** Outputs of an agent that count as recent, once it has three times as many. */
  window: z.int().min(10).max(200).default(60),
  /** Deviations over an agent's own usual from which it drifts, and from which it is estranged. */
  driftingAt: z.number().positive().max(1000).default(3.5),
  estrangedAt: z.number().positive().max(1000).default(7),
  /** Agents a period that a model judges, of those that drift; 0 for none. */
  judgedPerPeriod: z.int().min(0).max(1000).default(10),
  /** How often each judgement is asked for: identical calls differ. */
  samples: z.int().min(3).max(9).default(3),
});

const clustersSchema = z.strictObject({
  /** What clustering may hold in memory; more agents than fit are drawn from evenly, and the others assigned. */
  memoryMiB: z.int().min(64).max(65_536).default(256),
});

const peopleSchema = z.strictObject({
  /** Whether who asks for a sign-in link becomes a user; users that are there get theirs either way. */
  signUp: z.enum(['open', 'closed']).default('closed'),
  /** Agents that a creator may ever bring along, each with the memories of one package; retired ones count, since they are kept. */
  agentsPerCreator: z.int().min(0).max(1_000).default(10),
  /** Packages that a creator may keep here. */
  packagesPerCreator: z.int().min(0).max(10_000).default(100),
});

const hostPath = z.string().max(4096).regex(/^\//, 'must be an absolute path');

const tracesSchema = z.strictObject({
  /** Base of an OTLP/HTTP collector, such as http://127.0.0.1:4318; absent, and no OTEL_EXPORTER_OTLP_ENDPOINT: nothing is traced. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  /** Share of traces that are kept. */
  share: z.number().min(0).max(1).default(1),
});

export const metricsSchema = z.strictObject({
  /** false: no process opens a port for metrics, nor reads cards for them. */
  enabled: z.boolean().default(true),
  /** Address that they are served at, without a sign-in. */
  host: z.string().min(1).max(253).default('127.0.0.1'),
  /** Port of the API's; each machine has the next two, in the order of `machines`: its worker's own, and Temporal Core's. */
  port: z.int().min(1024).max(63_000).default(18_000),
  /** Files of the API's host that a backup, and a drill of restoring one, touch when they have succeeded. */
  backupStamp: hostPath.optional(),
  restoreDrillStamp: hostPath.optional(),
  /** PEM files of the API's host whose end is watched. */
  certificates: z.array(hostPath).max(20).default([]),
});

const webhooksSchema = z.strictObject({
  /** Hosts of the owner's own that their endpoints, and nobody else's, may lie on, also by http: names or addresses. */
  allowPrivate: z.array(z.string().min(1).max(253).toLowerCase()).max(50).default([]),
});

const dropsSchema = z.strictObject({
  /** Hosts of the owner's own that their channels, and nobody else's, may lie on, also by http: names or addresses. */
  allowPrivate: z.array(z.string().min(1).max(253).toLowerCase()).max(50).default([]),
  /** A post that could not go out at its time is late after this long; late ones go out one by one. */
  lateAfter: durationSchema.default('30m'),
  /** Between two late posts to one destination. */
  lateSpacing: durationSchema.default('10m'),
  /** A post that is later than this is not sent by itself any more. */
  missedAfter: durationSchema.default('1d'),
});

const retentionSchema = z.strictObject({
  events: durationSchema.default('90d'),
  runs: durationSchema.default('365d'),
  stepResults: durationSchema.default('30d'),
  notices: durationSchema.default('365d'),
  plans: durationSchema.default('365d'),
  messages: durationSchema.default('365d'),
  tokens: durationSchema.default('30d'),
  sourceItems: durationSchema.default('90d'),
  threads: durationSchema.default('365d'),
  driftRatings: durationSchema.default('365d'),
  clusterRuns: durationSchema.default('365d'),
  whispers: durationSchema.default('90d'),
  reconciliations: durationSchema.default('90d'),
  paymentEvents: durationSchema.default('90d'),
  mails: durationSchema.default('90d'),
  drops: durationSchema.default('365d'),
  webhookDeliveries: durationSchema.default('30d'),
  ballots: durationSchema.default('730d'),
  invites: durationSchema.default('365d'),
  health: durationSchema.default('90d'),
  work: durationSchema.default('90d'),
  audit: durationSchema.default('730d'),
});

/** Each place by itself; the rules between places are `breachesOf`, so that a reader can tell both kinds of error at once. */
export const fleetShapeSchema = z.strictObject({
  version: z.literal(1),
  name: z.string().min(1).max(60),
  machines: z.array(machineSchema).min(1).max(1000),
  models: z.array(modelSchema).max(200),
  archetypes: z.array(archetypeSchema).max(1000),
  agents: z.record(slugSchema, overrideSchema).default({}),
  schedules: z
    .strictObject({ catchUp: durationSchema.default('10m'), paused: z.boolean().default(false) })
    .prefault({}),
  /** What turns memories into vectors. Another one is built in the background; the one before serves until then. */
  embeddings: embeddingSettingsSchema.default({ kind: 'built-in' }),
  /** What feeds memories from outside. One that the file no longer names stops; its memories stay. */
  sources: z.array(sourceSchema).max(500).default([]),
  drift: driftSchema.prefault({}),
  clusters: clustersSchema.prefault({}),
  spawning: spawningSchema.prefault({}),
  /** What earns ego (voting weight), and how it fades. */
  ego: egoSchema.prefault({}),
  ballots: ballotsSchema.prefault({}),
  /** What is sold, and what its creators are paid. */
  market: marketSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  people: peopleSchema.prefault({}),
  /** Groups of agents and users, and who is invited to them. */
  guilds: guildsSchema.prefault({}),
  /** Where events for programs of others may go. */
  webhooks: webhooksSchema.prefault({}),
  drops: dropsSchema.prefault({}),
  /** Who is told what waits for a person. */
  notify: notifySchema.prefault({}),
  talk: talkSchema.prefault({}),
  /** Models for services, by OpenAI's protocol. */
  gateway: gatewaySchema.prefault({}),
  /** Tokens a day that are not to be exceeded; default: none. */
  budgets: budgetsSchema.prefault({}),
  /** What links memories of different agents. */
  threads: threadsSchema.prefault({}),
  metrics: metricsSchema.prefault({}),
  traces: tracesSchema.prefault({}),
  /** How a fleet that `npm start` runs is backed up. */
  backup: backupSettingsSchema.prefault({}),
  /** Where what is public is copied to; absent: nowhere. */
  mirror: mirrorSettingsSchema.optional(),
  /** What `soulfra deploy init` makes compose files and units by. */
  deploy: deploySettingsSchema.prefault({}),
  retention: retentionSchema.prefault({}),
});

export const fleetSchema = fleetShapeSchema.superRefine((fleet, ctx) => {
  for (const { at, rule, mend } of breachesOf(fleet)) {
    ctx.addIssue({ code: 'custom', path: at, message: rule, params: { mend } });
  }
});

export type Fleet = z.infer<typeof fleetSchema>;
export type FleetMachine = Fleet['machines'][number];
export type FleetGpu = FleetMachine['gpus'][number];
export type FleetModel = Fleet['models'][number];
export type FleetArchetype = Fleet['archetypes'][number];

/** Whether one of these machines coordinates with more weight than the first. */
export function isOutweighed(machineId: string, others: readonly string[], fleet: Fleet): boolean {
  const weight = (id: string) => fleet.machines.find((machine) => machine.id === id)?.roles.coordination?.pollers ?? 0;
  return others.some((id) => weight(id) > weight(machineId));
}
export type ModelServerKind = z.infer<typeof modelServerSchema>['kind'];

/** One quantisation of one model: what is loaded, queued for and named by agents. */
export interface ModelVariant {
  /** `<model>_<quantisation>`, such as qwen32b_q4. */
  id: string;
  model: FleetModel;
  fileGiB: number;
  rates: Partial<Record<GpuClass, { tokensPerSecond: number; slowdown: number }>>;
  servedAs: Partial<Record<ModelServerKind, string>>;
  smaller?: string;
  /** May lie across all cards of one machine where no single card holds it. */
  span?: boolean;
  /** Versions that may be served, the wanted one first; absent for a kind of server: whatever it has. */
  digests?: Partial<Record<ModelServerKind, readonly string[]>>;
  /** What the wanted one takes on the disk. */
  bytes?: number;
}

export function modelVariants(fleet: Pick<Fleet, 'models'>): ModelVariant[] {
  return fleet.models.flatMap((model) =>
    Object.entries(model.quantisations).map(([name, quantisation]) => ({
      id: `${model.id}_${name}`,
      model,
      fileGiB: quantisation.fileGiB,
      rates: quantisation.rates as ModelVariant['rates'],
      servedAs: quantisation.servedAs as ModelVariant['servedAs'],
      ...(quantisation.smaller === undefined ? {} : { smaller: quantisation.smaller }),
      ...(quantisation.span === undefined ? {} : { span: quantisation.span }),
      ...(quantisation.digests === undefined ? {} : { digests: quantisation.digests }),
      ...(quantisation.bytes === undefined ? {} : { bytes: quantisation.bytes }),
    })),
  );
}

/** One agent as the file gives birth to it: its archetype with the override by name laid over. */
export interface FleetAgent {
  id: string;
  archetype: FleetArchetype;
  ordinal: number;
  override: Fleet['agents'][string] | undefined;
  cadence: string;
  model: string;
  leastClass: GpuClass;
  mayDegrade: boolean;
  tokensPerDay: number;
  priority: number;
  expectedTokens: number;
  importanceThreshold: number;
  traits: readonly string[];
}

export function fleetAgents(fleet: Fleet): FleetAgent[] {
  return fleet.archetypes.flatMap((archetype) =>
    Array.from({ length: archetype.count }, (_, i) => {
      const id = agentId(archetype.id, i + 1);
      const override = fleet.agents[id];
      return {
        id,
        archetype,
        ordinal: i + 1,
        override,
        cadence: override?.cadence ?? archetype.cadence,
        model: override?.model ?? archetype.model,
        leastClass: override?.leastClass ?? archetype.leastClass,
        mayDegrade: override?.mayDegrade ?? archetype.mayDegrade,
        tokensPerDay: override?.tokensPerDay ?? archetype.tokensPerDay,
        priority: override?.priority ?? archetype.priority,
        expectedTokens: override?.expectedTokens ?? archetype.expectedTokens,
        importanceThreshold: override?.importanceThreshold ?? archetype.importanceThreshold,
        traits: override?.traits ?? archetype.traits,
      };
    }),
  );
}
