import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { isRefusal, subjectsOfAnswer, subjectsOfPath } from '../../domain/audit.ts';
import type { AuditActor, AuditStore } from '../../stores/audit.ts';
import type { Api } from '../types.ts';

/** Refused writes that are kept of one caller, and of all, in a minute and a process: a flood must not fill the table. */
const mostRefusals = { ofCaller: 10, ofAll: 200 };
const minuteMs = 60_000;

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

interface DeclaredRoute {
  method: string | string[];
  config?: { audit?: boolean; reads?: boolean };
}

/** By its method; a POST may be no more than a question. */
export function isWrite({ method }: DeclaredRoute): boolean {
  return [method].flat().some((each) => !safeMethods.has(each));
}

/** Whether a route is kept in the audit log: every write is, but what says of itself that it is none. */
export function isAudited(route: DeclaredRoute): boolean {
  return isWrite(route) && (route.config?.audit ?? route.config?.reads !== true);
}

/**
 * Writes down every write of every route, by the route itself, so that none can be forgotten. The first row is committed before
 * the handler begins, so nothing that is done or answered lacks one, whenever the process dies; the second says how it ended. A dry
 * run is no write.
 */
export function registerAudit(app: Api, { audit, log }: { audit: AuditStore; log: Logger }): void {
  app.decorateRequest('signedIn', null);
  app.decorateRequest('auditBegun', false);
  app.decorateRequest('auditAnswer', null);
  const mayKeep = createRefusalCount();

  async function begin(request: FastifyRequest): Promise<void> {
    if (isDry(request)) return;
    await audit.begin(auditedRequest(request));
    request.auditBegun = true;
  }

  async function end(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { statusCode: status } = reply;
    try {
      if (request.auditBegun) {
        const subjects = subjectsOfAnswer(request.auditAnswer, reply.getHeader('location'));
        await audit.end({ id: request.id, status, subjects, actor: request.signedIn });
      } else if (isRefusal(status) && mayKeep(request.caller?.tokenId ?? request.ip)) {
        await audit.refuse(auditedRequest(request), status);
      }
    } catch (err) {
      // What was done stays done, and its first row says that it was begun.
      log.error({ err, requestId: request.id, status }, 'the end of a write is missing in the audit log');
    }
  }

  app.addHook('onRoute', (route) => {
    if (!isAudited(route)) return;
    const before = {
      handlers: listOf(route.preHandler),
      serializers: listOf(route.preSerialization),
      senders: listOf(route.onSend),
    };
    // Last before the handler: what is refused for its form has begun nothing.
    route.preHandler = [...before.handlers, begin];
    route.preSerialization = [
      ...before.serializers,
      async (request: FastifyRequest, _reply: FastifyReply, payload: unknown) => {
        request.auditAnswer = payload;
        return payload;
      },
    ];
    route.onSend = [
      ...before.senders,
      async (request: FastifyRequest, reply: FastifyReply, payload: unknown) => {
        await end(request, reply);
        return payload;
      },
    ];
  });
}

function listOf<Hook>(hooks: Hook | Hook[] | undefined): Hook[] {
  return hooks === undefined ? [] : ([hooks].flat() as Hook[]);
}

function isDry({ query }: FastifyRequest): boolean {
  return typeof query === 'object' && query !== null && 'dryRun' in query && query.dryRun === true;
}

function auditedRequest(request: FastifyRequest) {
  const { id, caller, method, routeOptions, params } = request;
  const actor: AuditActor | null =
    caller === null
      ? null
      : {
          ownerId: caller.ownerId,
          tokenId: caller.tokenId,
          kind: caller.kind,
          role: caller.role,
          service: caller.service,
        };
  return { id, actor, method, route: routeOptions.url ?? 'unknown', subjects: subjectsOfPath(params) };
}

/** Of each minute the first few of a caller. */
function createRefusalCount(): (caller: string) => boolean {
  let until = 0;
  let all = 0;
  let ofCallers = new Map<string, number>();
  return (caller) => {
    const now = Date.now();
    if (now >= until) {
      until = now + minuteMs;
      all = 0;
      ofCallers = new Map();
    }
    const ofCaller = ofCallers.get(caller) ?? 0;
    if (all >= mostRefusals.ofAll || ofCaller >= mostRefusals.ofCaller) return false;
    all += 1;
    ofCallers.set(caller, ofCaller + 1);
    return true;
  };
}
