import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client, StreamEvent } from './client.ts';
import { CommandFailure, exitCodes } from './failures.ts';
import type { MadeWhisper } from './whisper-lines.ts';

export interface Message {
  id: string;
  agentId: string;
  conversationId: string;
  state: 'received' | 'answering' | 'answered' | 'failed' | 'canceled';
  reason: string;
  answer: string;
  source: 'model' | 'extractive' | null;
  citations: Array<{ alias: string; memoryId: string; text: string; occurredAt: string }>;
  wantedModelId: string;
  modelId: string;
  degraded: boolean;
  machineId: string | null;
  whisper: MadeWhisper | null;
}

export interface Saying {
  text: string;
  conversationId?: string | undefined;
  author?: string | undefined;
  whisper?: boolean | undefined;
}

/** What is told while an answer is written. */
export interface AnswerWatch {
  onQueued?(messageId: string): void;
  onText?(piece: string): void;
  /** Another attempt begins: what was written before is void. */
  onRestart?(machineId: string): void;
}

const againMs = 1_000;

/**
 * Says something to an agent and follows its answer to the end. A stream that breaks off is taken up where it was; the
 * request itself is sent again under the same key, so nothing is said twice.
 */
export async function askAgent(
  client: Client,
  agentId: string,
  saying: Saying,
  watch: AnswerWatch,
  signal: AbortSignal,
): Promise<Message> {
  const key = randomUUID();
  let messageId: string | undefined;
  let last: string | undefined;
  for (;;) {
    try {
      const events =
        messageId === undefined
          ? client.stream('POST', `/agents/${encodeURIComponent(agentId)}/messages`, {
              body: saying,
              headers: { 'idempotency-key': key },
              signal,
            })
          : client.stream('GET', `/messages/${messageId}/events`, {
              headers: last === undefined ? {} : { 'last-event-id': last },
              signal,
            });
      for await (const event of events) {
        last = event.id ?? last;
        const told = take(event);
        if (told) return told;
      }
    } catch (err) {
      // Before anything was heard it never worked; later the server went away and may come back.
      signal.throwIfAborted();
      if (messageId === undefined) throw err;
      if (err instanceof CommandFailure && err.exitCode !== exitCodes.unreachable) throw err;
    }
    await pause(againMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }

  function take({ event, data }: StreamEvent): Message | undefined {
    const body = JSON.parse(data) as Message & { text: string; machineId: string };
    if (event === 'queued' && messageId === undefined) {
      messageId = body.id;
      watch.onQueued?.(messageId);
    }
    if (event === 'token') watch.onText?.(body.text);
    if (event === 'restart') watch.onRestart?.(body.machineId);
    return event === 'answer' || event === 'failed' ? body : undefined;
  }
}

/** A message that ended without an answer, as the shell is told. */
export function unanswered({ id, state, reason }: Message): CommandFailure {
  return new CommandFailure(`${id} was not answered: ${state === 'canceled' ? 'it was canceled' : reason}`, {
    exitCode: exitCodes.failed,
  });
}
