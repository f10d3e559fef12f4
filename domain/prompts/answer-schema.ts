import { z } from 'zod';

/** As model servers take it: what an answer must look like, without naming the draft of JSON Schema. */
export function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _draft, ...json } = z.toJSONSchema(schema);
  return json;
}
