import fastifyCookie from '@fastify/cookie';
import Fastify, { type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { DomainError, errorTable } from '../domain/errors.ts';
import { type ServerSpan, startServerSpan } from '../observability/tracing.ts';
import { newId } from '../stores/ids.ts';
import { createContext } from './context.ts';
import { asDomainError, problemOf } from './errors.ts';
import { registerAudit } from './plugins/audit.ts';
import { bodyLimit, registerBodies, registerValidation } from './plugins/bodies.ts';
import { registerDocs } from './plugins/docs.ts';
import { createMethodsByPath } from './plugins/methods.ts';
import { registerRateLimit } from './plugins/rate-limit.ts';
import { registerRoles } from './plugins/roles.ts';
import { registerUi } from './plugins/ui.ts';
import { agentBudgetRoutes } from './routes/agent-budgets.ts';
import { agentRoutes } from './routes/agents.ts';
import { alertRoutes } from './routes/alerts.ts';
import { auditRoutes } from './routes/audit.ts';
import { backupRoutes } from './routes/backups.ts';
import { machineJoinRoutes } from './routes/machine-joins.ts';
import { mirrorRoutes } from './routes/mirror.ts';
import { ballotRoutes } from './routes/ballots.ts';
import { blessingRoutes } from './routes/blessings.ts';
import { channelRoutes } from './routes/channels.ts';
import { clusterRoutes } from './routes/clusters.ts';
import { globeRoutes } from './routes/globe.ts';
import { codecRoutes } from './routes/codec.ts';
import { creditRoutes } from './routes/credits.ts';
import { doctorRoutes } from './routes/doctor.ts';
import { downloadRoutes } from './routes/downloads.ts';
import { deliveryRoutes } from './routes/deliveries.ts';
import { driftRoutes } from './routes/drift.ts';
import { dropRoutes } from './routes/drops.ts';
import { dropScheduleRoutes } from './routes/drop-schedules.ts';
import { eventRoutes } from './routes/events.ts';
import { feedRoutes } from './routes/feeds.ts';
import { fleetRoutes } from './routes/fleets.ts';
import { gatewayRoutes } from './routes/gateway.ts';
import { guildChangeRoutes } from './routes/guild-changes.ts';
import { guildRoutes } from './routes/guilds.ts';
import { healthRoutes } from './routes/health.ts';
import { healthSubjectRoutes } from './routes/health-subjects.ts';
import { inviteAnswerRoutes } from './routes/invite-answers.ts';
import { inviteRoutes } from './routes/invites.ts';
import { joinPageRoutes } from './routes/join-page.ts';
import { narrationRoutes } from './routes/narration.ts';
import { pageFileRoutes } from './routes/page-files.ts';
import { storeRoutes } from './routes/store.ts';
import { readinessRoutes } from './routes/readiness.ts';
import { ledgerRoutes } from './routes/ledger.ts';
import { licenseChangeRoutes } from './routes/license-changes.ts';
import { licenseFileRoutes } from './routes/license-files.ts';
import { licenseUseRoutes } from './routes/license-uses.ts';
import { licenseRoutes } from './routes/licenses.ts';
import { lineageRoutes } from './routes/lineages.ts';
import { listingRoutes } from './routes/listings.ts';
import { logRoutes } from './routes/logs.ts';
import { loopRoutes } from './routes/loops.ts';
import { machineRoutes } from './routes/machines.ts';
import { mailRoutes } from './routes/mails.ts';
import { memoryRoutes } from './routes/memories.ts';
import { messageRoutes } from './routes/messages.ts';
import { modelRoutes } from './routes/models.ts';
import { noticeRoutes } from './routes/notices.ts';
import { notificationRoutes } from './routes/notifications.ts';
import { passwordRoutes } from './routes/passwords.ts';
import { paymentEventRoutes } from './routes/payment-events.ts';
import { disputeRoutes } from './routes/disputes.ts';
import { payoutRoutes } from './routes/payouts.ts';
import { takedownRoutes } from './routes/takedowns.ts';
import { personaRoutes } from './routes/personas.ts';
import { principalRoutes } from './routes/principals.ts';
import { purchaseRoutes } from './routes/purchases.ts';
import { refundRoutes } from './routes/refunds.ts';
import { reflectionRoutes } from './routes/reflections.ts';
import { runRoutes } from './routes/runs.ts';
import { scheduleRoutes } from './routes/schedules.ts';
import { secretRoutes } from './routes/secrets.ts';
import { signingKeyRoutes } from './routes/signing-keys.ts';
import { sourceEventRoutes } from './routes/source-events.ts';
import { sourceSecretRoutes } from './routes/source-secrets.ts';
import { rolloutRoutes } from './routes/rollouts.ts';
import { serviceRunRoutes } from './routes/service-runs.ts';
import { serviceRoutes } from './routes/services.ts';
import { sourceRoutes } from './routes/sources.ts';
import { tokenBudgetRoutes } from './routes/token-budgets.ts';
import { sweepRoutes } from './routes/sweeps.ts';
import { threadRoutes } from './routes/threads.ts';
import { userRoutes } from './routes/users.ts';
import { voteRoutes } from './routes/votes.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { webhookDeliveryRoutes } from './routes/webhook-deliveries.ts';
import { whisperRoutes } from './routes/whispers.ts';
import { workClaimRoutes } from './routes/work-claims.ts';
import { workRoutes } from './routes/work.ts';
import type { Api, ApiDeps } from './types.ts';

/** A stream of memories may take this long to come in; anything else is done in moments. */
const requestMs = 10 * 60_000;

/** The API with every route, not yet listening. */
export async function createServer(deps: ApiDeps): Promise<Api> {
  const app = Fastify({
    loggerInstance: deps.log,
    // One line at the end of a request says it all.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    ...(deps.trustProxy && { trustProxy: [...deps.trustProxy] }),
    requestTimeout: requestMs,
    connectionTimeout: 0,
    forceCloseConnections: 'idle',
    requestIdHeader: false,
    genReqId: () => newId('request'),
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: false },
    frameworkErrors: (err, request, reply: FastifyReply) => {
      const problem = problemOf(asDomainError(err), request.id);
      void reply
        .code(problem.status)
        .header('x-request-id', request.id)
        .type('application/problem+json')
        .send(JSON.stringify(problem));
    },
    clientErrorHandler: answerBrokenRequest,
  }).withTypeProvider<ZodTypeProvider>() as unknown as Api;
  const context = createContext(deps);

  registerBodies(app);
  registerValidation(app);
  app.setSerializerCompiler(serializerCompiler);
  registerErrors(app, deps);
  registerLog(app, deps);
  registerTraces(app);
  await app.register(fastifyCookie);
  await registerDocs(app);
  await registerRateLimit(app, { redis: deps.redis, requestsPerMinute: context.requestsPerMinute });
  registerRoles(app, context.principals);
  registerAudit(app, context);
  const methods = createMethodsByPath(app);
  const ui = await registerUi(app, deps.uiFolder);
  // A page is read before anybody is signed in: whoever guessed from this address locks nobody out of it.
  const page = async (request: FastifyRequest, reply: FastifyReply) =>
    ui.sendIfPage(request, reply) ? reply : undefined;
  app.setNotFoundHandler({ preHandler: [page, app.rateLimit()] }, (request, reply) => {
    const allowed = methods.of(request.url);
    if (allowed.length === 0) throw new DomainError('NOT_FOUND', `nothing is at ${request.url.split('?')[0]}`);
    void reply.header('allow', allowed.join(', '));
    throw new DomainError('METHOD_NOT_ALLOWED', `this path takes ${allowed.join(', ')}`);
  });

  for (const routes of [
    healthRoutes,
    tokenBudgetRoutes,
    healthSubjectRoutes,
    doctorRoutes,
    principalRoutes,
    passwordRoutes,
    userRoutes,
    alertRoutes,
    auditRoutes,
    mailRoutes,
    fleetRoutes,
    machineRoutes,
    modelRoutes,
    agentRoutes,
    agentBudgetRoutes,
    personaRoutes,
    lineageRoutes,
    whisperRoutes,
    memoryRoutes,
    loopRoutes,
    messageRoutes,
    gatewayRoutes,
    reflectionRoutes,
    driftRoutes,
    clusterRoutes,
    globeRoutes,
    ballotRoutes,
    voteRoutes,
    guildRoutes,
    guildChangeRoutes,
    inviteRoutes,
    inviteAnswerRoutes,
    runRoutes,
    sweepRoutes,
    serviceRoutes,
    rolloutRoutes,
    serviceRunRoutes,
    sourceRoutes,
    threadRoutes,
    sourceSecretRoutes,
    sourceEventRoutes,
    creditRoutes,
    ledgerRoutes,
    backupRoutes,
    machineJoinRoutes,
    mirrorRoutes,
    readinessRoutes,
    paymentEventRoutes,
    payoutRoutes,
    disputeRoutes,
    takedownRoutes,
    signingKeyRoutes,
    secretRoutes,
    codecRoutes,
    licenseRoutes,
    licenseUseRoutes,
    licenseChangeRoutes,
    licenseFileRoutes,
    listingRoutes,
    purchaseRoutes,
    refundRoutes,
    downloadRoutes,
    webhookRoutes,
    webhookDeliveryRoutes,
    channelRoutes,
    dropRoutes,
    blessingRoutes,
    deliveryRoutes,
    dropScheduleRoutes,
    feedRoutes,
    scheduleRoutes,
    eventRoutes,
    logRoutes,
    noticeRoutes,
    notificationRoutes,
    workRoutes,
    workClaimRoutes,
    storeRoutes,
    joinPageRoutes,
    narrationRoutes,
    pageFileRoutes,
  ]) {
    routes(app, context);
  }
  return app;
}

function registerErrors(app: Api, { log }: ApiDeps): void {
  app.setErrorHandler((err, request, reply) => {
    const known = asDomainError(err);
    const problem = problemOf(known, request.id);
    if (problem.status >= 500) log.error({ err, requestId: request.id, code: known.code }, 'request failed');
    if (known.retryAfterSeconds !== undefined) void reply.header('retry-after', Math.ceil(known.retryAfterSeconds));
    return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
  });
}

function registerLog(app: Api, { log, metrics }: ApiDeps): void {
  app.addHook('onRequest', async (request, reply) => {
    void reply
      .header('x-request-id', request.id)
      .header('x-content-type-options', 'nosniff')
      .header('referrer-policy', 'no-referrer')
      .header('cache-control', 'no-store');
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const seconds = reply.elapsedTime / 1000;
    metrics.requests.observe(
      { method: request.method, route, status: `${Math.trunc(reply.statusCode / 100)}xx` },
      seconds,
    );
    log.debug(
      { requestId: request.id, method: request.method, route, status: reply.statusCode, seconds },
      'request answered',
    );
  });
}

/** One span a request; whatever its handler starts lies below. Nothing is kept of it where nothing is traced. */
function registerTraces(app: Api): void {
  const spans = new WeakMap<FastifyRequest, ServerSpan>();
  // After the body has come in: what reads it does not carry the span on.
  app.addHook('preHandler', (request, _reply, done) => {
    const { method, headers, id } = request;
    const route = request.routeOptions.url ?? 'unknown';
    const told = { 'http.request.method': method, 'http.route': route, 'soulfra.request': id };
    const span = startServerSpan(`${method} ${route}`, told, headers);
    spans.set(request, span);
    span.within(done);
  });
  app.addHook('onResponse', async (request, reply) => {
    spans.get(request)?.end(reply.statusCode);
  });
}

/** What breaks HTTP itself never reaches a route; it is told in the same form. */
function answerBrokenRequest(
  err: Error & { code?: string },
  socket: NodeJS.WritableStream & { writable: boolean; destroy(): void },
): void {
  if (err.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = err.code === 'HPE_HEADER_OVERFLOW' ? 'BODY_TOO_LARGE' : 'MALFORMED_BODY';
  const { status } = errorTable[code];
  const problem = JSON.stringify(
    problemOf(new DomainError(code, 'the request is not HTTP that can be read'), newId('request')),
  );
  socket.end(
    `HTTP/1.1 ${status} ${status === 413 ? 'Content Too Large' : 'Bad Request'}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(problem)}\r\n\r\n${problem}`,
  );
}
