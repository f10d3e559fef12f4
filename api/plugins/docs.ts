import { readFile } from 'node:fs/promises';
import fastifySwagger from '@fastify/swagger';
import fastifySwaggerUi from '@fastify/swagger-ui';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { Api } from '../types.ts';
import { isAudited, isWrite } from './audit.ts';
import { routeScope, sessionCookie } from './roles.ts';

const docsPath = '/docs';

/** OpenAPI 3.1 from the same schemas that judge requests and answers, and a page to read it. */
export async function registerDocs(app: Api): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Soulfra',
        description:
          'Every write takes `?dryRun=true`; every list pages by `cursor` and comes as JSON, NDJSON or CSV. Errors are problem+json with the codes of docs/errors.md.',
        version: '1',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer' },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: sessionCookie,
            description: `Behind a proxy with TLS: __Host-${sessionCookie}`,
          },
        },
      },
    },
    transform: (route) => {
      const { schema, url } = jsonSchemaTransform(route as Parameters<typeof jsonSchemaTransform>[0]);
      if (schema === undefined) return { schema, url };
      const { role = 'none', services } = route.route.config ?? {};
      const scope = role === 'none' ? undefined : routeScope(route.route);
      const said = [
        role === 'none'
          ? ''
          : `Needs at least the role ${role}${scope === undefined ? '' : `, and the scope ${scope} where the token has scopes`}.`,
        services === true ? 'The token of a service opens it, too.' : '',
        isWrite(route.route) && !isAudited(route.route) ? 'Not kept in the audit log.' : '',
        schema.description ?? '',
      ].filter((text) => text !== '');
      const description = said.length === 0 ? {} : { description: said.join(' ') };
      const security = role === 'none' ? {} : { security: [{ bearer: [] }, { session: [] }] };
      return { schema: { ...schema, ...description, ...security }, url };
    },
    transformObject: (document) => withoutUnused(withBodies(jsonSchemaTransformObject(document))),
  });
  await app.register(fastifySwaggerUi, { routePrefix: docsPath, staticCSP: true });
  const runbooks = await readFile(new URL('../../docs/runbooks.md', import.meta.url), 'utf8');
  // Panels and alerts link here; it says nothing of this installation.
  app.route({
    method: 'GET',
    url: `${docsPath}/runbooks.md`,
    config: { role: 'none' },
    schema: { hide: true },
    handler: (_request, reply) => reply.type('text/markdown; charset=utf-8').send(runbooks),
  });
}

/** A body that may be left out is not required, and a stream of lines is a body too: the schemas of the routes cannot say either. */
function withBodies(made: Document): Document {
  const { paths = {} } = made as { paths?: Record<string, Record<string, Operation>> };
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    const schema = operation.requestBody?.content['application/json']?.schema;
    if (operation.requestBody && schema?.anyOf?.some(({ type }) => type === 'null'))
      operation.requestBody.required = false;
  }
  const memories = paths['/v1/memories']?.['post'];
  if (memories) {
    memories.requestBody = {
      required: true,
      content: {
        'application/x-ndjson': { schema: { $ref: '#/components/schemas/MemoryLineInput' } },
        'application/json': { schema: { type: 'object', description: 'nodes.json, with ?format=generative-agents' } },
      },
    };
  }
  return made;
}

interface Operation {
  requestBody?: {
    required?: boolean;
    content: Record<
      string,
      { schema: { $ref?: string; type?: string; description?: string; anyOf?: Array<{ type?: string }> } }
    >;
  };
}

type Document = ReturnType<typeof jsonSchemaTransformObject>;

/** Each schema is made as input and as output; what no route speaks of is left out. */
function withoutUnused(made: Document): Document {
  const document = made as { paths?: unknown; components?: { schemas?: Record<string, unknown> } };
  const schemas = document.components?.schemas ?? {};
  const used = new Set<string>();
  const waiting: unknown[] = [document.paths];
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    for (const [, name] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (name === undefined || used.has(name)) continue;
      used.add(name);
      waiting.push(schemas[name]);
    }
  }
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  return { ...document, components: { ...document.components, schemas: kept } } as Document;
}
