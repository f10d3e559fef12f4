import {
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  WorkflowUpdateStage,
} from '@temporalio/client';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema, spawnWorkflowId } from '../../domain/ids.ts';
import { decideWhisperUpdate, type WhisperDecision } from '../../domain/messages.ts';
import { refusalCodes, whisperChars, whisperSources, whisperStates } from '../../domain/whispers.ts';
import { receiveWhisper } from '../../stores/admission.ts';
import { findWhisper, listWhispers, type WhisperView } from '../../stores/queries/whispers.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const whisperSchema = z
  .object({
    id: idSchema('whisper'),
    source: z.enum(whisperSources),
    parentId: slugSchema,
    lineageId: slugSchema,
    text: z.string(),
    state: z.enum(whisperStates),
    code: z.enum(refusalCodes).nullable().describe('Why it ended without a persona'),
    reason: z.string(),
    retryOf: idSchema('whisper').nullable(),
    requestedBy: z.string(),
    agentId: slugSchema.nullable().describe('The persona it became'),
    name: z.string().nullable().describe('Of the draft that is worked on'),
    draft: z.int(),
    personaSource: z.enum(['model', 'extractive']).nullable().describe('extractive: by rule, no model wrote it'),
    modelId: z.string().nullable(),
    promptVersion: z.string().nullable(),
    nearestId: slugSchema.nullable().describe('The persona nearest to the draft'),
    nearestCosine: z.number().nullable(),
    receivedAt: timeSchema,
    deadline: timeSchema.nullable().describe('Until when it waits for an operator'),
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Whisper' });

const whisperParams = z.strictObject({ id: idSchema('whisper') });

export function whisperRoutes(app: Api, context: ApiContext): void {
  const { db, starter, spawns, temporal, log } = context;

  app.route({
    method: 'POST',
    url: '/v1/whispers',
    config: { role: 'member' },
    schema: {
      tags: ['whispers'],
      summary: 'A whisper (request) that may call a new persona into being; a refused one is answered with its reason',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z.strictObject({
        parentId: slugSchema.describe('Whose child is asked for'),
        text: textSchema(whisperChars).refine((text) => text.trim() !== '', { error: 'must say something' }),
        retryOf: idSchema('whisper').optional().describe('The refused or expired whisper that is asked again'),
      }),
      response: { 200: whisperSchema.or(dryRunSchema), 202: whisperSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const { parentId, text, retryOf } = request.body;
      const { fleet } = await fleetOf(context, ownerId);
      if (retryOf !== undefined) await refuseEarlyRetry(ownerId, retryOf);
      if (request.query.dryRun) {
        const agent = await findAgent(db, ownerId, parentId);
        if (!agent) throw new DomainError('NOT_FOUND', `no agent ${parentId}`);
        return { dryRun: true as const, would: `ask for a child of ${parentId}; admission decides when it is sent` };
      }
      const requestId = requestIdOf(request);
      const received = await db
        .transaction()
        .execute((tx) =>
          receiveWhisper(
            tx,
            { ownerId, source: 'api', parentId, text, retryOf, requestedBy: tokenId, requestId },
            fleet.spawning,
          ),
        );
      const whisper = await existing(ownerId, received.id);
      void reply.header('location', `/v1/whispers/${whisper.id}`);
      return reply.code(whisper.endedAt === null ? 202 : 200).send(whisper);
    },
  });

  listRoute(app, {
    url: '/v1/whispers',
    role: 'reader',
    tag: 'whispers',
    summary: 'Whispers (requests), the last received first',
    item: whisperSchema,
    filters: { state: z.enum(whisperStates).optional(), parentId: slugSchema.optional() },
    params: z.object({}),
    key: idSchema('whisper'),
    keyOf: (whisper) => whisper.id,
    rows: (page, filters) => listWhispers(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/whispers/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['whispers'],
      summary: 'One whisper with its reason or its persona',
      params: whisperParams,
      response: { 200: whisperSchema, ...problemResponses },
    },
    handler: (request) => existing(callerOf(request).ownerId, request.params.id),
  });

  app.route({
    method: 'POST',
    url: '/v1/whispers/:id/approve',
    config: { role: 'operator' },
    schema: {
      tags: ['whispers'],
      summary: 'Lets the persona that waits be born; 202 where its end takes longer than an answer may',
      querystring: writeQuery,
      params: whisperParams,
      body: z.strictObject({}).nullish(),
      response: { 200: whisperSchema.or(dryRunSchema), 202: whisperSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const whisper = await existing(ownerId, id);
      if (whisper.state !== 'awaiting_approval')
        throw new DomainError('CONFLICT', `${id} is ${whisper.state}; it does not wait for an operator`);
      if (request.query.dryRun) return { dryRun: true as const, would: `approve ${id}, ${whisper.name}` };
      const answered = await decide(ownerId, id, { draft: whisper.draft, approve: true });
      void reply.header('location', `/v1/whispers/${id}`);
      return reply.code(answered ? 200 : 202).send(await existing(ownerId, id));
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/whispers/:id/refuse',
    config: { role: 'operator' },
    schema: {
      tags: ['whispers'],
      summary:
        'Ends a whisper that is under way, whether it waits for an operator or not; 202 where its end takes longer than an answer may',
      querystring: writeQuery,
      params: whisperParams,
      body: z.strictObject({ reason: textSchema(300).optional() }).nullish(),
      response: { 200: whisperSchema.or(dryRunSchema), 202: whisperSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const whisper = await existing(ownerId, id);
      if (whisper.endedAt !== null) throw new DomainError('CONFLICT', `${id} is ${whisper.state}; it has ended`);
      if (request.query.dryRun) return { dryRun: true as const, would: `refuse ${id}` };
      const reason = request.body?.reason ?? 'refused by an operator';
      const answered =
        whisper.state === 'awaiting_approval'
          ? await decide(ownerId, id, { draft: whisper.draft, approve: false, reason })
          : await end(id, reason);
      void reply.header('location', `/v1/whispers/${id}`);
      return reply.code(answered ? 200 : 202).send(await existing(ownerId, id));
    },
  });

  /** @returns false where the workflow has not ended in the time an answer may take */
  async function decide(ownerId: string, id: string, decision: WhisperDecision): Promise<boolean> {
    const workflow = temporal.workflow.getHandle(spawnWorkflowId(id));
    try {
      // Accepted, the word stands in the workflow's history, whatever becomes of this process.
      const update = await starter.within(() =>
        workflow.startUpdate(decideWhisperUpdate, {
          args: [decision],
          waitForStage: WorkflowUpdateStage.ACCEPTED,
        }),
      );
      try {
        await starter.within(() => update.result());
        return true;
      } catch (err) {
        if (err instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return false;
        throw err;
      }
    } catch (err) {
      if (err instanceof WorkflowNotFoundError) {
        // Another word came first, and with it the end.
        if ((await existing(ownerId, id)).endedAt !== null) return true;
        // Terminated by hand: nobody waits any more who could say no.
        if (decision.approve)
          throw new DomainError('CONFLICT', `the workflow of ${id} is gone; refuse it and ask again`);
        await spawns.refuse(id, { code: 'NOT_APPROVED', reason: decision.reason });
        return true;
      }
      if (err instanceof WorkflowUpdateFailedError) {
        throw new DomainError('CONFLICT', `${id} shows another draft by now`, { cause: err });
      }
      if (err instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
        throw new DomainError('UNAVAILABLE', 'no worker took the decision in time', { cause: err });
      }
      throw err;
    }
  }

  /**
   * The row first: whoever works on it finds it ended and stops, also a workflow that begins later; one that was terminated
   * cannot. A birth that was faster stands.
   */
  async function end(id: string, reason: string): Promise<true> {
    const { state } = await spawns.refuse(id, { code: 'NOT_APPROVED', reason });
    if (state === 'spawned') throw new DomainError('CONFLICT', `${id} has become a persona by now`);
    try {
      await starter.within(() => temporal.workflow.getHandle(spawnWorkflowId(id)).cancel());
    } catch (err) {
      // Not begun, or over. Where Temporal does not answer, the workflow meets the row at its next step.
      if (!(err instanceof WorkflowNotFoundError)) log.warn({ err, whisperId: id }, 'the workflow was not told');
    }
    return true;
  }

  async function refuseEarlyRetry(ownerId: string, retryOf: string): Promise<void> {
    const before = await existing(ownerId, retryOf);
    if (before.state !== 'refused' && before.state !== 'expired') {
      throw new DomainError('CONFLICT', `${retryOf} is ${before.state}; only a refused or expired one is asked again`);
    }
  }

  async function existing(ownerId: string, id: string): Promise<WhisperView> {
    const whisper = await findWhisper(db, ownerId, id);
    if (!whisper) throw new DomainError('NOT_FOUND', `no whisper ${id}`);
    return whisper;
  }
}
