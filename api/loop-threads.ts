import { Worker } from 'node:worker_threads';
import { DomainError, type ErrorCode, type FieldError } from '../domain/errors.ts';
import type { LoopManifest } from '../domain/loop-manifest.ts';
import type { LoopLine } from '../domain/loop-memories.ts';
import type { OpenedLoop, ReadLoop } from '../domain/loop-packages.ts';
import { createOneAtATime } from '../stores/one-at-a-time.ts';
import type { LoopRow } from '../stores/queries/loop-memories.ts';
import type { ChoosingInput, ChosenLoop } from './loop-choosing.ts';

export type LoopThreadMessage =
  | { kind: 'rows'; rows: LoopRow[]; isFirst: boolean }
  | { kind: 'choose'; input: ChoosingInput }
  | {
      kind: 'read';
      manifest: Pick<LoopManifest, 'memories' | 'reflections' | 'name'>;
      members: OpenedLoop['members'];
    };

export type LoopThreadAnswer =
  | { kind: 'chosen'; chosen: ChosenLoop }
  | { kind: 'lines'; lines: LoopLine[] }
  | { kind: 'read'; persona: ReadLoop['persona']; prompts: ReadLoop['prompts'] }
  | { kind: 'refused'; code: ErrorCode; message: string; fields: readonly FieldError[] };

/** 12 MiB of memories take a fifth of it; more is a fault, which then ends the thread and not the API. */
const mostMiB = 1_536;

/** Far beyond what the largest takes: whoever waits behind it must not wait for ever. */
const mostMs = 60_000;

/**
 * Judging a long life and reading a large package are seconds of work each: done in a thread, so that the API answers
 * everybody else meanwhile; one after the other, so that many who pack take one core and the memory of one.
 */
const oneAtATime = createOneAtATime();

/** @param tellRows hands over the agent's memories, page by page; it is called when the thread's turn has come */
export function chooseInThread(
  tellRows: (tell: (rows: LoopRow[]) => void) => Promise<ChoosingInput>,
): Promise<ChosenLoop> {
  return oneAtATime(() =>
    withThread(async (thread) => {
      let isFirst = true;
      const input = await tellRows((rows) => {
        thread.tell({ kind: 'rows', rows, isFirst });
        isFirst = false;
      });
      thread.tell({ kind: 'choose', input });
      for (;;) {
        const message = await thread.next();
        if (message.kind === 'chosen') return message.chosen;
      }
    }),
  );
}

/** @throws what `readMembers` throws */
export function readInThread({ manifest, members, trusted }: OpenedLoop): Promise<ReadLoop> {
  return oneAtATime(() =>
    withThread(async (thread) => {
      const { memories, reflections, name } = manifest;
      thread.tell({ kind: 'read', manifest: { memories, reflections, name }, members });
      const lines: LoopLine[] = [];
      for (;;) {
        const message = await thread.next();
        if (message.kind === 'lines') lines.push(...message.lines);
        if (message.kind === 'read')
          return { manifest, persona: message.persona, prompts: message.prompts, lines, trusted };
      }
    }),
  );
}

interface Thread {
  tell(message: LoopThreadMessage): void;
  /** @throws what the thread refused with, or why it ended */
  next(): Promise<Exclude<LoopThreadAnswer, { kind: 'refused' }>>;
}

let worker: Worker | undefined;
/** Hears of the end of the thread while it works for somebody. */
let onEnd: ((cause: unknown) => void) | undefined;

/** Started at the first need and kept: it takes as long to start as a small package takes to be read. */
function startedWorker(): Worker {
  if (worker !== undefined) return worker;
  const started = new Worker(new URL('./loop-thread.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: mostMiB },
    // Nothing of ours is within its reach by accident.
    env: {},
  });
  const ended = (cause: unknown) => {
    if (worker !== started) return;
    worker = undefined;
    onEnd?.(cause);
  };
  started.on('error', ended);
  started.on('exit', (code) => ended(new Error(`it ended with ${code}`)));
  worker = started;
  return started;
}

async function withThread<Result>(work: (thread: Thread) => Promise<Result>): Promise<Result> {
  const thread = startedWorker();
  // A process that waits for an answer stays; one that only could ask may end.
  thread.ref();
  const answers: LoopThreadAnswer[] = [];
  let failure: Error | undefined;
  let arrived = Promise.withResolvers<void>();
  const take = (answer: LoopThreadAnswer) => {
    answers.push(answer);
    arrived.resolve();
  };
  onEnd = (cause) => {
    failure = new DomainError('INTERNAL', 'the thread that judges packages ended', { cause });
    arrived.resolve();
  };
  thread.on('message', take);
  const late = setTimeout(() => void thread.terminate(), mostMs);
  try {
    return await work({
      tell: (message) => thread.postMessage(message),
      async next() {
        while (answers.length === 0) {
          if (failure !== undefined) throw failure;
          await arrived.promise;
          arrived = Promise.withResolvers();
        }
        const answer = answers.shift()!;
        if (answer.kind !== 'refused') return answer;
        throw new DomainError(answer.code, answer.message, { fields: answer.fields });
      },
    });
  } finally {
    clearTimeout(late);
    onEnd = undefined;
    thread.off('message', take);
    thread.unref();
  }
}
