import { z } from 'zod';
import { canonicalJson, type CanonicalValue } from './canonical-json.ts';
import { durationSchema } from './durations.ts';
import { nameSchema, slugSchema } from './ids.ts';
import { loopMembers } from './loop-archive.ts';
import type { Sha256 } from './loop-memories.ts';
import { commercialUses } from './model-licenses.ts';
import { personaLimits } from './persona-files.ts';
import { signingKeyIdSchema } from './signing-keys.ts';
import { gpuClasses } from './task-queues.ts';
import { textSchema } from './text.ts';

/** What a loop package says of itself: docs/loops.md. */
const loopFormat = 'soulfra-loop';
const loopFormatVersion = 1;

/** Memories of a package at the most: as many as one transaction can take in on a slow machine. */
export const mostLoopMemories = 10_000;

const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex');

const termsSchema = z.strictObject({
  license: textSchema(120).nullable(),
  commercialUse: z.enum(commercialUses),
});

export const loopPersonaSchema = z.strictObject({
  name: textSchema(personaLimits.nameChars),
  persona: textSchema(personaLimits.personaChars),
  traits: z.array(textSchema(personaLimits.traitChars)).max(personaLimits.traits),
  mask: z.strictObject({ seed: z.int().nonnegative() }),
});
export type LoopPersona = z.output<typeof loopPersonaSchema>;

/** The versions of the prompts that the agent is asked by; what stands in them is code. */
export const loopPromptsSchema = z.record(nameSchema, z.string().regex(/^[a-z][a-z0-9-]*\/\d{1,6}$/));
export type LoopPrompts = z.output<typeof loopPromptsSchema>;

/** How the agent works, and what it needs for that. */
const needsSchema = z.strictObject({
  archetype: slugSchema,
  cadence: durationSchema,
  /** Model id `<model>_<quantisation>`. */
  model: nameSchema,
  leastClass: z.enum(gpuClasses),
  mayDegrade: z.boolean(),
  expectedTokens: z.int().positive().max(32_768),
  importanceThreshold: z.int().min(0).max(1_000_000),
});
export type LoopNeeds = z.output<typeof needsSchema>;

const modelSchema = termsSchema.extend({ id: textSchema(200) });
export type LoopModel = z.output<typeof modelSchema>;

const contentSchema = z.strictObject({
  agentId: slugSchema,
  name: textSchema(personaLimits.nameChars),
  memories: z.int().min(0).max(mostLoopMemories).describe('Reflections among them'),
  reflections: z.int().min(0).max(mostLoopMemories),
  needs: needsSchema,
  /** The model that it needs, first, and every model whose words stand in its reflections. */
  models: z.array(modelSchema).min(1).max(100),
  /** Where the agent itself came with a package. */
  madeFrom: z.strictObject({ contentHash: hashSchema, keyId: signingKeyIdSchema }).optional(),
  members: z
    .array(z.strictObject({ name: z.enum(loopMembers), size: z.int().min(0), sha256: hashSchema }))
    .length(loopMembers.length - 2),
});
export type LoopContent = z.output<typeof contentSchema>;

export const loopManifestSchema = contentSchema
  .extend({
    format: z.literal(loopFormat),
    version: z.literal(loopFormatVersion, {
      error: (issue) => `is ${String(issue.input)}; this Soulfra reads ${loopFormatVersion}`,
    }),
    agentHash: hashSchema.describe(
      'Of persona and memories: an equal agent of that name has the same, whatever its id',
    ),
    contentHash: hashSchema.describe('Of all that the package says: what a package is known by'),
    madeBy: z.strictObject({ keyId: signingKeyIdSchema }),
  })
  .meta({ id: 'LoopManifest' });
export type LoopManifest = z.output<typeof loopManifestSchema>;

/** Members whose size and hash the manifest gives, in their order. */
export const contentMembers = ['persona.json', 'prompts.json', 'memories.ndjson'] as const;

/** What a package, and the agent in it, are known by. */
export function hashesOf(content: LoopContent, sha256: Sha256) {
  const own = content.members.filter(({ name }) => name !== 'prompts.json').map((member) => member.sha256);
  const shared = { format: loopFormat, version: loopFormatVersion } as const;
  const agentHash = sha256(canonicalBytes({ ...shared, agent: own }));
  return { ...shared, agentHash, contentHash: sha256(canonicalBytes({ ...shared, ...content })) };
}

/** As it is hashed and signed. */
export function canonicalBytes(value: object): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value as unknown as CanonicalValue));
}
