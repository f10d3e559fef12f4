import type { FastifyContextConfig, FastifyReply, FastifyRequest } from 'fastify';
import { DomainError } from '../../domain/errors.ts';
import { covers } from '../../domain/roles.ts';
import { permits, type Scope, scopeOf } from '../../domain/scopes.ts';
import { type Principal, type PrincipalStore, serviceRole } from '../../stores/principals.ts';
import type { Api } from '../types.ts';

export const sessionCookie = 'soulfra_session';

/** Over TLS a browser keeps it for this very host and sends it by TLS alone, and neither a page in the clear nor a neighbour's can put another in its place. */
export function sessionCookieOf({ protocol }: FastifyRequest): string {
  return protocol === 'https' ? `__Host-${sessionCookie}` : sessionCookie;
}

/** The principal of a route that is not open to all; the role hook has made sure of it. */
export function callerOf(request: FastifyRequest): Principal {
  if (request.caller === null) throw new DomainError('UNAUTHENTICATED', 'no token or session came with the request');
  return request.caller;
}

/** The scope of a route, by its first tag; undefined: none is asked for. @throws where the tag is none of the closed list */
export function routeScope(route: DeclaredRoute): Scope | undefined {
  const { config, schema, method, url } = route;
  if (config?.role === 'none' || config?.anyScope === true) return undefined;
  const noun = schema?.tags?.[0];
  const methods = [method].flat();
  const scope = noun === undefined ? undefined : scopeOf({ noun, methods, reads: config?.reads === true });
  if (scope !== undefined) return scope;
  const said = noun === undefined ? 'has no tag' : `has the tag ${noun}`;
  throw new Error(
    `${methods.join(',')} ${url} ${said}, so it has no scope; give it one of scopeNouns in domain/scopes.ts`,
  );
}

interface DeclaredRoute {
  method: string | string[];
  url: string;
  config?: FastifyContextConfig;
  schema?: { tags?: readonly string[] };
}

/**
 * Default-deny: a route declares its least role and its scope or the server does not start, and a service's token opens what says
 * `services: true` alone. Who calls is found out before anything
 * else is read; the check itself stands on the route, after the rate limit, so that guesses are counted too.
 */
export function registerRoles(app: Api, principals: PrincipalStore): void {
  app.decorateRequest('caller', null);

  app.addHook('onRequest', async (request) => {
    request.caller = (await principalOf(request, principals)) ?? null;
  });

  app.addHook('onRoute', (route) => {
    const role = route.config?.role;
    if (role === undefined) {
      throw new Error(`${String(route.method)} ${route.url} declares no role; add config: { role }`);
    }
    const forServices = route.config?.services === true;
    if (forServices && (role === 'none' || !covers(serviceRole, role))) {
      throw new Error(`${String(route.method)} ${route.url} is for services, so its role is reader or member`);
    }
    if (role === 'none') return;
    const scope = routeScope(route);
    const before = route.onRequest === undefined ? [] : [route.onRequest].flat();
    route.onRequest = [
      ...before,
      async (request: FastifyRequest, reply: FastifyReply) => {
        const caller = request.caller;
        if (caller === null) {
          void reply.header('www-authenticate', 'Bearer realm="soulfra"');
          throw new DomainError('UNAUTHENTICATED', 'no valid token or session came with the request');
        }
        if (caller.service !== undefined && !forServices) {
          throw new DomainError(
            'FORBIDDEN',
            `the token is of the service ${caller.service} and opens only what services are for, which this is not`,
          );
        }
        if (!covers(caller.role, role)) {
          throw new DomainError('FORBIDDEN', `this needs the role ${role}; the token has ${caller.role}`);
        }
        if (scope !== undefined && !permits(caller.scopes, scope)) {
          const held = caller.scopes?.join(', ');
          throw new DomainError('FORBIDDEN', `this needs the scope ${scope}; the token has ${held}`);
        }
        if (caller.kind === 'session') refuseOtherOrigins(request, route.config?.origins);
      },
    ];
  });
}

async function principalOf(request: FastifyRequest, principals: PrincipalStore): Promise<Principal | undefined> {
  if (request.routeOptions.config?.role === 'none') return undefined;
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const secret = /^Bearer ([\w.~+/=-]{8,256})$/i.exec(authorization)?.[1];
    return secret === undefined ? undefined : principals.find(secret, 'bearer');
  }
  return sessionOf(request, principals);
}

/** Who is signed in in the browser that asks, also on a route that is open to all. */
export async function sessionOf(request: FastifyRequest, principals: PrincipalStore): Promise<Principal | undefined> {
  const session = request.cookies[sessionCookieOf(request)];
  return session === undefined || session.length > 256 ? undefined : principals.find(session, 'session');
}

/**
 * A browser sends the cookie along whoever asked; only pages that we served may write with it.
 * @param others whose pages may, too
 */
export function refuseOtherOrigins(request: FastifyRequest, others: readonly string[] = []): void {
  if (request.method === 'GET' || request.method === 'HEAD') return;
  const { origin } = request.headers;
  if (origin !== undefined && others.includes(origin)) return;
  const from = origin === undefined ? null : URL.parse(origin);
  // Over TLS no page in the clear is one of ours, whoever answers by our name there.
  if (from !== null && from.host === request.host && (request.protocol !== 'https' || from.protocol === 'https:'))
    return;
  throw new DomainError('FORBIDDEN', 'a session may write only from pages of this server');
}
