import { z } from 'zod';
import { DomainError, type FieldError } from './errors.ts';
import { fieldError, invalidInput } from './field-errors.ts';
import { slugSchema } from './ids.ts';
import { memoryKinds } from './states.ts';
import { textSchema } from './text.ts';

/**
 * The lines that memories travel in: one JSON object a line, whose `type` says which it is. An export begins with a
 * `header` and ends with an `end`, so that a file that was cut off can be told from a whole one; a file that somebody
 * writes needs neither. docs/memory.md shows them.
 */
export const memoryFormat = 'soulfra-memories';
export const memoryFormatVersion = 1;

/** Clocks differ: what lies no further ahead than this is taken as it is. */
const clockToleranceMs = 5 * 60_000;
const mostEvidence = 64;

const momentSchema = z.iso
  .datetime({ offset: true })
  .refine((at) => at >= '1000', { error: 'must be in a year from 1000 on' });
const keySchema = textSchema(200);

/** What a sender gives of one memory; the rest is filled in. */
export const memoryBody = z.strictObject({
  text: textSchema(8_000),
  kind: z.enum(memoryKinds).default('observation'),
  importance: z.int().min(1).max(10).default(5),
  source: textSchema(120).default('api'),
  occurredAt: momentSchema.optional().describe('ISO 8601, not in the future; default: now'),
  externalKey: keySchema.optional().describe('The sender’s own id: what comes again under it is not added twice'),
});
export type MemoryBody = z.output<typeof memoryBody>;

const lineShape = {
  agentId: slugSchema.optional().describe('Whose it is; may be left out where the request names the agent'),
  validTo: momentSchema.optional().describe('Until when it held'),
  supersededBy: keySchema.optional().describe('External key of the memory that took its place'),
  supersededAt: momentSchema
    .optional()
    .describe('Alone: it gave way to something that is not told; default beside supersededBy: now'),
  deletedAt: momentSchema.optional(),
  deletedReason: textSchema(500).optional(),
  lastUsedAt: momentSchema.optional(),
  recordedAt: momentSchema
    .optional()
    .describe('When the sender came to know it. Told only: here it is known from now on'),
};

const rememberedSchema = memoryBody.extend({ type: z.literal('memory').default('memory'), ...lineShape });

const forgottenSchema = rememberedSchema
  .omit({ text: true })
  .extend({ forgotten: z.literal(true), externalKey: keySchema, occurredAt: momentSchema });

const reflectionSchema = memoryBody.omit({ kind: true }).extend({
  type: z.literal('reflection'),
  ...lineShape,
  evidence: z
    .array(keySchema)
    .min(1)
    .max(mostEvidence)
    .describe('External keys of the memories it rests on, which may stand anywhere in the file or be here already'),
  depth: z.int().min(1).max(1_000).optional().describe('Told only: here it is counted anew from the evidence'),
  model: textSchema(200).optional().describe('What made it'),
  promptVersion: textSchema(120).optional(),
});

const headerSchema = z.strictObject({
  type: z.literal('header'),
  format: z.literal(memoryFormat),
  version: z.int().min(1).describe(`${memoryFormatVersion}; a line added later to the format raises it`),
  agentId: slugSchema,
  name: z.string(),
  exportedAt: momentSchema,
});
const endSchema = z.strictObject({
  type: z.literal('end'),
  lines: z.int().min(0).describe('Memories and reflections before it'),
});

/** Any line of the format, for docs/openapi.json; `readMemoryLine` judges each by the one schema that its type names. */
export const memoryLineSchema = z
  .union([rememberedSchema, forgottenSchema, reflectionSchema, headerSchema, endSchema])
  .meta({ id: 'MemoryLine' });

export type RememberedLine = z.output<typeof rememberedSchema>;
export type ForgottenLine = z.output<typeof forgottenSchema>;
export type ReflectionLine = z.output<typeof reflectionSchema>;
/** What goes into an agent's memory. */
export type TellingLine = RememberedLine | ForgottenLine | ReflectionLine;
export type MemoryLine = TellingLine | z.output<typeof headerSchema> | z.output<typeof endSchema>;
/** As a writer gives it: what has a default may be left out. */
export type WrittenMemoryLine = z.input<typeof memoryLineSchema>;

const schemas = {
  memory: rememberedSchema,
  forgotten: forgottenSchema,
  reflection: reflectionSchema,
  header: headerSchema,
  end: endSchema,
} as const;

/** @throws INVALID_INPUT with each field that breaks a rule */
export function readMemoryLine(json: unknown): MemoryLine {
  const schema = schemas[kindOf(json)];
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw invalidInput(parsed.error, json, schema);
  const line = parsed.data;
  if (line.type === 'header' || line.type === 'end') return line;
  refuse(contradictions(line));
  return line;
}

function kindOf(json: unknown): keyof typeof schemas {
  const { type, forgotten } = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
  if (type === 'header' || type === 'end' || type === 'reflection') return type;
  if (type === undefined || type === 'memory') return forgotten === true ? 'forgotten' : 'memory';
  throw fieldError('type', 'must be memory, reflection, header or end', 'Leave it out for a memory.');
}

/** What no single field is to blame for. */
function contradictions(line: TellingLine): FieldError[] {
  const fields: FieldError[] = [];
  const told = (path: string, rule: string, mend: string) => fields.push({ path, rule, mend });
  if ((line.deletedAt === undefined) !== (line.deletedReason === undefined))
    told('deletedReason', 'must come together with deletedAt', 'Give both or neither.');
  if ('forgotten' in line && line.deletedAt === undefined)
    told('deletedAt', 'is required where the text was forgotten', 'Add `deletedAt` and `deletedReason`.');
  if (line.supersededBy !== undefined && line.supersededBy === line.externalKey)
    told('supersededBy', 'must not be the memory itself', 'Name the memory that took its place.');
  if (line.validTo !== undefined && line.occurredAt === undefined)
    told('occurredAt', 'is required beside validTo', 'Say from when it held.');
  if (
    line.validTo !== undefined &&
    line.occurredAt !== undefined &&
    Date.parse(line.validTo) < Date.parse(line.occurredAt)
  )
    told('validTo', 'must not lie before occurredAt', 'Exchange them, or leave validTo out.');
  if (line.type === 'reflection' && line.externalKey !== undefined && line.evidence.includes(line.externalKey))
    told('evidence', 'must not name the reflection itself', 'Name the memories it rests on.');
  return fields;
}

const pastFields = ['occurredAt', 'supersededAt', 'deletedAt', 'lastUsedAt'] as const;

/** @throws INVALID_INPUT where it tells of what has not happened yet; `validTo` may lie ahead */
export function refuseFuture(told: Partial<Record<(typeof pastFields)[number], string | undefined>>, now: Date): void {
  const latest = now.getTime() + clockToleranceMs;
  refuse(
    pastFields
      .filter((path) => Date.parse(told[path] ?? '') > latest)
      .map((path) => ({
        path,
        rule: 'must not lie in the future',
        mend: 'Look at the clock and the year it came from.',
      })),
  );
}

function refuse(fields: FieldError[]): void {
  if (fields.length === 0) return;
  throw new DomainError('INVALID_INPUT', fields.map(({ path, rule }) => `${path} ${rule}`).join('; '), { fields });
}
