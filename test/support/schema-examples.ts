/** JSON schema as docs/openapi.json has it, as far as it is read here. */
export interface JsonSchema {
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  minItems?: number;
  minimum?: number;
  exclusiveMinimum?: number;
  minLength?: number;
  pattern?: string;
  format?: string;
}

const uuid = '01890000-0000-7000-8000-000000000001';
/** One of these fits nearly every pattern there is. */
const texts = [
  'a word',
  'light-001',
  'word',
  '1d',
  'somebody@harbour.example',
  'https://harbour.example/hook',
  '2026-01-01T00:00:00Z',
  '2026-01-01',
  'USD',
  '12345678',
  'a'.repeat(64),
  `key_${'0'.repeat(32)}`,
  '1.0.0',
  'reflect-6h',
];

/** The least that a schema takes: only what is required, of each choice the first. */
export function exampleOf(schema: JsonSchema, schemas: Readonly<Record<string, JsonSchema>>): unknown {
  const { $ref, properties = {}, required = [] } = schema;
  if ($ref !== undefined) return exampleOf(schemas[$ref.split('/').at(-1)!]!, schemas);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const [first] = schema.anyOf ?? schema.oneOf ?? [];
  if (first !== undefined) return exampleOf(first, schemas);
  if (schema.allOf !== undefined)
    return Object.assign({}, ...schema.allOf.map((part) => exampleOf(part, schemas))) as unknown;
  if (schema.type === 'object')
    return Object.fromEntries(required.map((name) => [name, exampleOf(properties[name] ?? {}, schemas)]));
  if (schema.type === 'array')
    return Array.from({ length: schema.minItems ?? 0 }, () => exampleOf(schema.items ?? {}, schemas));
  if (schema.type === 'integer' || schema.type === 'number')
    return Math.max(schema.minimum ?? 1, (schema.exclusiveMinimum ?? 0) + 1);
  if (schema.type === 'boolean') return true;
  if (schema.type === 'null') return null;
  return textOf(schema);
}

function textOf({ pattern, format, minLength = 0 }: JsonSchema): string {
  const prefix = /^\^(\w{3})_\[0-9a-f\]\{8\}/.exec(pattern ?? '')?.[1];
  if (prefix !== undefined) return `${prefix}_${uuid}`;
  if (pattern !== undefined) return texts.find((text) => new RegExp(pattern, 'u').test(text)) ?? 'x';
  if (format === 'uri') return 'https://harbour.example/hook';
  return 'word'.padEnd(minLength, 'x');
}
