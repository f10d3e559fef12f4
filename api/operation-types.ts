/** The part of an OpenAPI 3.1 document that types are made of. */
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

interface Operation {
  parameters?: Array<{ name: string; in: string; required?: boolean; schema: Schema }>;
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
}

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
}

/**
 * Types of every call of the API, for programs that speak to it by `import type`. Made here, since openapi-typescript builds its text with
 * the compiler's own objects, which TypeScript 7 no longer gives.
 */
export function operationTypesText(openApi: string): string {
  const { paths, components } = JSON.parse(openApi) as Document;
  const schemas = Object.entries(components.schemas).map(([name, schema]) => `  ${key(name)}: ${typeOf(schema, 1)};`);
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => `  '${method.toUpperCase()} ${path}': ${callOf(operation)};`),
  );
  return [
    '// Made by `npm run gen` from docs/openapi.json.',
    'export interface Schemas {',
    ...schemas,
    '}',
    '',
    'export interface Operations {',
    ...operations,
    '}',
    '',
  ].join('\n');
}

function callOf({ parameters = [], requestBody, responses }: Operation): string {
  const inputs = (where: string) => {
    const own = parameters.filter((each) => each.in === where);
    if (own.length === 0) return 'undefined';
    return objectOf(
      own.map(({ name, required, schema }) => ({ name, schema, required: required ?? false })),
      3,
      true,
    );
  };
  const body = requestBody?.content['application/json']?.schema;
  const sent = body === undefined ? 'undefined' : typeOf(body, 2, true);
  const answers = ['200', '201', '202', '204']
    .flatMap((status) => responses[status] ?? [])
    .map(({ content }) => {
      const schema = content?.['application/json']?.schema;
      return schema === undefined ? (content === undefined ? 'undefined' : 'string') : typeOf(schema, 2);
    });
  return `{\n    path: ${inputs('path')};\n    query: ${inputs('query')};\n    body: ${sent}${requestBody?.required === false ? ' | undefined' : ''};\n    answer: ${[...new Set(answers)].join(' | ') || 'undefined'};\n  }`;
}

function typeOf(schema: Schema, depth: number, isInput = false): string {
  const { $ref, anyOf, oneOf, allOf, type } = schema;
  if ($ref !== undefined) return `Schemas['${$ref.slice($ref.lastIndexOf('/') + 1)}']`;
  if (schema.const !== undefined) return literal(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ');
  const either = anyOf ?? oneOf;
  if (either !== undefined) return [...new Set(either.map((each) => typeOf(each, depth, isInput)))].join(' | ');
  if (allOf !== undefined) return allOf.map((each) => `(${typeOf(each, depth, isInput)})`).join(' & ');
  if (Array.isArray(type)) return type.map((each) => typeOf({ ...schema, type: each }, depth, isInput)).join(' | ');
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
      return type;
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return `Array<${schema.items === undefined ? 'unknown' : typeOf(schema.items, depth, isInput)}>`;
    case 'object':
      return recordOf(schema, depth, isInput);
    default:
      return 'unknown';
  }
}

function recordOf(schema: Schema, depth: number, isInput: boolean): string {
  const { properties = {}, required = [], additionalProperties, propertyNames } = schema;
  const named = Object.entries(properties);
  if (named.length === 0 && typeof additionalProperties === 'object') {
    const keys = propertyNames?.enum === undefined ? 'string' : propertyNames.enum.map(literal).join(' | ');
    const record = `Record<${keys}, ${typeOf(additionalProperties, depth, isInput)}>`;
    return propertyNames?.enum === undefined || required.length > 0 ? record : `Partial<${record}>`;
  }
  if (named.length === 0) return additionalProperties === false ? 'Record<string, never>' : 'Record<string, unknown>';
  return objectOf(
    named.map(([name, each]) => ({ name, schema: each, required: required.includes(name) })),
    depth + 1,
    isInput,
  );
}

function objectOf(
  fields: Array<{ name: string; schema: Schema; required: boolean }>,
  depth: number,
  isInput: boolean,
): string {
  const indent = '  '.repeat(depth);
  const lines = fields.map(({ name, schema, required }) => {
    // Who calls may say undefined for what is left out; answers leave it out.
    const may = !required && isInput ? ' | undefined' : '';
    return `${indent}${key(name)}${required ? '' : '?'}: ${typeOf(schema, depth, isInput)}${may};`;
  });
  return `{\n${lines.join('\n')}\n${'  '.repeat(depth - 1)}}`;
}

const key = (name: string) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : literal(name));
const literal = (value: unknown) =>
  typeof value === 'string'
    ? `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`
    : JSON.stringify(value);
