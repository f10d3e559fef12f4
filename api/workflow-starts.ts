import { createHash } from 'node:crypto';
import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { v7 } from 'uuid';
import { z } from 'zod';
import { hashTextOf } from '../domain/any-json.ts';
import { DomainError } from '../domain/errors.ts';
import { type IdKind, idOf } from '../domain/ids.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { windowOf } from '../domain/workflow-window.ts';
import { withWindow } from '../integrations/temporal-window.ts';
import { callerOf } from './plugins/roles.ts';

/** Temporal answers within this or the caller gets UNAVAILABLE. */
const deadlineMs = 5_000;

const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 visible ASCII characters')
  .describe('The same key starts the same work once; with other content it is refused');

export const idempotencyHeaders = z.looseObject({ 'idempotency-key': idempotencyKey.optional() });
/** Where money moves: who asks again without a key would pay again. */
export const requiredIdempotencyHeaders = z.looseObject({ 'idempotency-key': idempotencyKey });

/** Named by the caller's key where one came, so that a repeated request means the same work. */
export function requestIdOf(request: FastifyRequest): string {
  const key = request.headers['idempotency-key'];
  if (typeof key !== 'string') return v7();
  const { ownerId, service } = callerOf(request);
  // Services of one owner know nothing of each other's keys.
  return createHash('sha256')
    .update([ownerId, ...(service === undefined ? [] : [service]), key].join('\0'))
    .digest('hex')
    .slice(0, 32);
}

/** An id of this kind for what the request starts: by the caller's key where one came, so that it is the same id again. */
export function startedId(kind: IdKind, request: FastifyRequest): string {
  const key = requestIdOf(request);
  if (key.includes('-')) return idOf(kind, key);
  // The key's hash, in the shape of every other id.
  const variant = (8 + (Number.parseInt(key[16]!, 16) % 4)).toString(16);
  const uuid = `${key.slice(0, 8)}-${key.slice(8, 12)}-7${key.slice(13, 16)}-${variant}${key.slice(17, 20)}-${key.slice(20)}`;
  return idOf(kind, uuid);
}

/** Of what a request asked for, in whatever order its fields came: other content under the same key is refused. */
export function requestHashOf(asked: object): Buffer {
  return createHash('sha256').update(hashTextOf(asked)).digest();
}

export interface WorkflowStart {
  type:
    | 'reflectFleet'
    | 'reflectAgent'
    | 'answerMessage'
    | 'completeChat'
    | 'pollSource'
    | 'weaveMemories'
    | 'rateDrift'
    | 'clusterAgents'
    | 'placeGlobe'
    | 'mirrorPublic'
    | 'syncModels'
    | 'reconcileLedger'
    | 'assessReadiness'
    | 'settleRefund'
    | 'purchaseLicense'
    | 'inviteToGuild';
  workflowId: string;
  args: [Record<string, unknown>];
  /** ended: one at a time. failed: an id whose workflow failed or was canceled may start again. never: an id starts once. */
  again: 'ended' | 'failed' | 'never';
  /** What whoever asks says of it, beside what it is. */
  summary: string;
  ownerId: string;
  /** What the request asked for, kept in the memo: another content under the same id is refused. */
  content: string;
  /** What its routes tell of it before its first activity has written the row. */
  memo?: Record<string, string>;
  /** Temporal's priority key: 1 first, 5 last. */
  priority?: number;
}

const reuse = {
  ended: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
  failed: WorkflowIdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
  never: WorkflowIdReusePolicy.REJECT_DUPLICATE,
} as const satisfies Record<WorkflowStart['again'], WorkflowIdReusePolicy>;

export function createWorkflowStarter(client: Client, log: Logger) {
  const within = <T>(call: () => Promise<T>) => client.withDeadline(Date.now() + deadlineMs, call);
  return {
    within,

    /** @returns false when the workflow of this id runs or has run already with the same content */
    async start(start: WorkflowStart): Promise<boolean> {
      try {
        await within(() =>
          withWindow(windowOf(start.type, start.args, start.summary), (window) =>
            client.workflow.start(start.type, {
              ...window,
              workflowId: start.workflowId,
              taskQueue: coordinationQueue,
              args: start.args,
              workflowTaskTimeout: '2 seconds',
              workflowIdReusePolicy: reuse[start.again],
              ...(start.priority === undefined ? {} : { priority: { priorityKey: start.priority } }),
              memo: { ...start.memo, ownerId: start.ownerId, content: start.content },
            }),
          ),
        );
        return true;
      } catch (err) {
        if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
        const known = await within(() => client.workflow.getHandle(start.workflowId).describe());
        const content = known.memo?.['content'];
        if (content !== undefined && content !== start.content) {
          throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
        }
        return false;
      }
    },

    /** How a workflow that was completed has answered; undefined while it runs, or where it is known no more. */
    async answerOf<Result>(workflowId: string): Promise<Result | undefined> {
      const handle = client.workflow.getHandle(workflowId);
      try {
        const { status } = await within(() => handle.describe());
        return status.name === 'COMPLETED' ? ((await within(() => handle.result())) as Result) : undefined;
      } catch (err) {
        if (err instanceof WorkflowNotFoundError) return undefined;
        throw err;
      }
    },

    async runs(workflowId: string): Promise<boolean> {
      try {
        const { status } = await within(() => client.workflow.getHandle(workflowId).describe());
        return status.name === 'RUNNING';
      } catch (err) {
        if (err instanceof WorkflowNotFoundError) return false;
        throw err;
      }
    },

    /** Whoever keeps the clock of rows looks at them by itself in any case; told, it need not wait for that. */
    async tellRowsChanged(...workflowIds: readonly string[]): Promise<void> {
      for (const workflowId of workflowIds)
        try {
          await within(() => client.workflow.getHandle(workflowId).signal(rowsChangedSignal));
        } catch (err) {
          if (!(err instanceof WorkflowNotFoundError)) log.warn({ err, workflowId }, 'the workflow was not told');
        }
    },

    /** @returns false when no workflow of this id runs */
    async cancel(workflowId: string): Promise<boolean> {
      try {
        await within(() => client.workflow.getHandle(workflowId).cancel());
        return true;
      } catch (err) {
        if (err instanceof WorkflowNotFoundError) return false;
        throw err;
      }
    },
  };
}

/** Asks again until there is an answer or the time is up: rows of a workflow are written by its first activity. */
export async function awaitRow<T>(read: () => Promise<T | undefined>, withinMs: number): Promise<T | undefined> {
  const until = Date.now() + withinMs;
  for (;;) {
    const row = await read();
    if (row !== undefined || Date.now() >= until) return row;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
