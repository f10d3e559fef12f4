import { z } from 'zod';
import { appVersion } from '../../config/app-version.ts';
import { DomainError } from '../../domain/errors.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { callPeriod, idSchema, readinessWorkflowId, slugSchema } from '../../domain/ids.ts';
import {
  findingStates,
  readinessAreas,
  readinessRunStates,
  findingSeverities,
  verdicts,
} from '../../domain/readiness.ts';
import { readinessMarkdown } from '../../domain/readiness-documents.ts';
import { sarifOf } from '../../domain/readiness-reports.ts';
import { readinessRules } from '../../domain/readiness-rules.ts';
import { serviceIdSchema } from '../../domain/services.ts';
import type { Database } from '../../stores/database.ts';
import { listReadinessRuns, readReadiness } from '../../stores/queries/readiness.ts';
import { addAcceptance, isStanding } from '../../stores/readiness.ts';
import { keepStopTrial } from '../../stores/stop-trials.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const ruleSchema = z.enum(
  Object.keys(readinessRules) as [keyof typeof readinessRules, ...Array<keyof typeof readinessRules>],
);
const fingerprintSchema = z.string().regex(/^[0-9a-f]{16}$/, 'must be sixteen hexadecimal digits');
const placeSchema = z.string().min(1).max(1_000);

const repositorySchema = z.strictObject({
  folder: z.string().startsWith('/', 'must be the whole path on its machine').max(1_000),
  machineId: slugSchema
    .nullable()
    .default(null)
    .describe('The machine where it lies; null: any that does coordination'),
  machineFiles: z
    .array(z.strictObject({ machine: slugSchema, file: placeSchema }))
    .max(200)
    .default([]),
  portRules: z
    .array(z.strictObject({ name: slugSchema, add: z.int().min(-65_535).max(65_535) }))
    .max(50)
    .default([]),
});

const findingSchema = z.object({
  rule: z.string(),
  area: z.enum(readinessAreas),
  severity: z.enum(findingSeverities),
  subject: z.string(),
  place: z.string().nullable().describe('File and line; null where it was seen on a machine'),
  evidence: z.string(),
  mend: z.string(),
  workPackage: z.string(),
  fingerprint: z.string(),
});
const reportedSchema = findingSchema
  .extend({
    state: z.enum(findingStates).nullable().describe('Against the run before'),
    accepted: z.object({ until: z.string(), by: z.string(), reason: z.string() }).nullable(),
  })
  .meta({ id: 'ReadinessFinding' });

const runSchema = z
  .object({
    id: z.string(),
    repository: z.object({
      folder: z.string(),
      machineId: z.string().nullable(),
      machineFiles: z.array(z.object({ machine: z.string(), file: z.string() })),
      portRules: z.array(z.object({ name: z.string(), add: z.int() })),
    }),
    state: z.enum(readinessRunStates),
    reason: z.string(),
    verdict: z.enum(verdicts).nullable(),
    startedAt: timeSchema,
    finishedAt: timeSchema.nullable(),
  })
  .meta({ id: 'ReadinessRun' });

const reportSchema = z
  .object({
    run: z.string(),
    verdict: z.enum(verdicts),
    counts: z.record(z.enum(findingSeverities), z.int()).describe('Open findings'),
    accepted: z.int(),
    findings: z.array(reportedSchema),
    gone: z.array(findingSchema).describe('What the run before had and this one has not'),
    documents: z.string().optional().describe('Markdown, where it was asked for'),
    sarif: z.unknown().optional(),
  })
  .meta({ id: 'Readiness' });

export function readinessRoutes(app: Api, { db, starter }: ApiContext): void {
  app.route({
    method: 'GET',
    url: '/v1/readiness',
    config: { role: 'reader' },
    schema: {
      tags: ['readiness'],
      summary: 'The last assessment of an existing fleet: verdict and findings, as they are accepted today',
      querystring: z.strictObject({ format: z.enum(['json', 'markdown', 'sarif']).optional() }),
      response: { 200: reportSchema, ...problemResponses },
    },
    handler: async (request) => {
      const found = await readReadiness(db, callerOf(request).ownerId);
      if (!found) throw new DomainError('NOT_FOUND', await nothingAssessed(db, callerOf(request).ownerId));
      const { inventory, ...report } = found;
      const { format } = request.query;
      if (format === 'markdown' && inventory !== null)
        return { ...report, documents: readinessMarkdown(report, inventory) };
      return format === 'sarif' ? { ...report, sarif: sarifOf(report, appVersion()) } : report;
    },
  });

  listRoute(app, {
    url: '/v1/readiness/runs',
    role: 'reader',
    tag: 'readiness',
    summary: 'Assessments, the last first',
    item: runSchema,
    filters: { state: z.enum(readinessRunStates).optional() },
    params: z.object({}),
    // Time and id: two may begin at one moment.
    key: z.string().regex(/^\d{4}-\d\d-\d\dT[\d:.]+Z [\x21-\x7e]{1,200}$/),
    keyOf: ({ startedAt, id }) => `${startedAt} ${id}`,
    rows: (page, filters) => listReadinessRuns(db, { ...page, ...filters }),
  });

  app.route({
    method: 'POST',
    url: '/v1/readiness/runs',
    config: { role: 'operator' },
    schema: {
      tags: ['readiness'],
      summary: 'Assesses a repository that lies on a machine; every week the last one is assessed again',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: repositorySchema,
      response: {
        200: dryRunSchema,
        202: z.object({ workflowId: z.string(), runId: z.string(), started: z.boolean() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      if (request.query.dryRun) return { dryRun: true as const, would: `assess ${request.body.folder}` };
      const period = callPeriod(requestIdOf(request));
      const workflowId = readinessWorkflowId(period);
      const started = await starter.start({
        type: 'assessReadiness',
        ownerId,
        workflowId,
        args: [{ period, ownerId, repository: request.body }],
        again: 'failed',
        summary: 'readiness, by hand',
        content: JSON.stringify(request.body),
      });
      void reply.header('location', '/v1/readiness/runs');
      return reply.code(202).send({ workflowId, runId: period, started });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/readiness/stop-trials',
    config: { role: 'operator' },
    schema: {
      tags: ['readiness'],
      summary:
        'How a service took SIGTERM where somebody tried it; the last trial of each counts in assessments for 90 days',
      querystring: writeQuery,
      body: z.strictObject({
        service: serviceIdSchema,
        commandSha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
          .describe('Of the command that was tried, as trust files have it'),
        ended: z.boolean().describe('By itself, within the time that it had'),
        said: z.string().max(200).describe('How it ended: its code, or the signal that ended it'),
        clean: z.boolean().describe('Without an error, or by the signal'),
        seconds: z.number().min(0).max(3_600),
        left: z.array(z.string().max(200)).max(50).describe('Processes and ports that outlived it'),
      }),
      response: { 200: dryRunSchema, 201: z.object({ service: z.string() }), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const { commandSha256, ...trial } = request.body;
      const { dryRun } = request.query;
      await writeOrTry(db, dryRun, (tx) => keepStopTrial(tx, { ownerId, commandSha256, trial, toldBy: tokenId }));
      if (dryRun) return { dryRun: true as const, would: `keep how ${trial.service} took SIGTERM` };
      return reply.code(201).send({ service: trial.service });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/readiness/acceptances',
    config: { role: 'operator' },
    schema: {
      tags: ['readiness'],
      summary: 'Somebody answers for a finding until a day',
      querystring: writeQuery,
      body: z.strictObject({
        rule: ruleSchema,
        fingerprint: fingerprintSchema,
        until: z.iso.date(),
        by: z.string().min(1).max(100),
        reason: z.string().min(1).max(500),
      }),
      response: { 200: dryRunSchema, 201: z.object({ id: idSchema('acceptance') }), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { rule, fingerprint } = request.body;
      if (!(await isStanding(db, ownerId, { rule, fingerprint })))
        throw fieldError('fingerprint', 'must be of a finding of the last assessment', 'GET /v1/readiness has them.');
      if (request.query.dryRun) return { dryRun: true as const, would: `accept ${rule}/${fingerprint}` };
      return reply.code(201).send({ id: await addAcceptance(db, { ownerId, ...request.body }) });
    },
  });
}

/** Why there is no report: none was asked for, it is under way, or it could not be made. */
async function nothingAssessed(db: Database, ownerId: string): Promise<string> {
  const [last] = await listReadinessRuns(db, { ownerId, limit: 1 });
  if (last === undefined)
    return 'nothing was assessed yet; `soulfra readiness PATH`, or POST /v1/readiness/runs, does it';
  if (last.state === 'running') return `${last.repository.folder} is being assessed for the first time`;
  return `${last.repository.folder} could not be assessed: ${last.reason}`;
}
