import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import type { Permits } from '../activities/machine-calls.ts';

/** One model of the machine: the queue of its background work, and that of its conversations. */
interface Model {
  /** Sequences that its KV memory holds, for both queues together. */
  slots: number;
  /** Lower goes first. */
  rank: number;
  work: Line;
  talk: Line;
  /** Until then (performance.now()) a conversation counts as going on. */
  liveUntil: number;
}

interface Line {
  model: Model;
  talks: boolean;
  tasks: Set<SlotPermit>;
  /** The one permit that is given for a poll, until the poll brings a task or is given up. */
  polling?: SlotPermit;
  /** Calls that have a sequence. */
  running: number;
}

interface Waiting<Value> {
  queue: string;
  give: (value: Value) => void;
}

interface SlotPermit {
  queue: string;
  /** Its poll may still be answered at once, so it counts as taken. */
  fresh: boolean;
}

export interface OpenedQueue {
  queue: string;
  /** The queue of the model's conversations. */
  talkQueue: string;
  /** At most this many sequences at once: what its KV memory holds. */
  slots: number;
  /** How many machines serve it: the fewer, the sooner it is polled. */
  rank: number;
}

/** A poll that the server has not answered within this long found its queue empty, and no longer counts as taken. */
const freshMs = 100;

/**
 * Shares a model server's sequences among the queues of one machine. Two gates:
 * - before a poll: a queue polls only while a sequence is free, so a task is not claimed here to wait while another
 *   machine could run it. A poll is given ahead to the queue of the lowest rank (the one fewest machines serve), and
 *   holds its sequence only until the server has had time to answer: an idle poll must not starve the other queues.
 *   A queue has one poll out at a time. The SDK asks for the next permit while it still polls with the last one; given
 *   then, each would in its turn become a poll that no longer counts, and bring a task that nothing is free for.
 * - before a call: an idle poll may bring a task when all sequences are taken, so each call takes a permit first.
 *
 * Conversations go before background work, which has every sequence while nobody talks:
 * - the poll of a talk queue is out even when nothing is free, unless a message already waits here for its sequence;
 *   it takes nothing from the others until it brings a message;
 * - a message takes the next sequence that becomes free, before any other call or poll;
 * - while a conversation goes on, one sequence is kept for its next message, where model and server have more than one.
 */
export class SlotGate implements Permits {
  private sequences: number;
  private liveForMs: number;
  private readonly onChange: () => void;
  private readonly lines = new Map<string, Line>();
  /** Both in the order of their coming. */
  private readonly polls = new Set<Waiting<SlotPermit>>();
  private readonly calls = new Set<Waiting<() => void>>();
  private running = 0;
  private busy = 0;
  private countedAt = performance.now();

  /**
   * `liveForMs`: how long after its last message or answer a conversation keeps its sequence; 0: not at all.
   * `onChange`: another number of sequences is in use.
   */
  constructor(
    sequences: number,
    { liveForMs = 0, onChange = () => undefined }: { liveForMs?: number; onChange?: () => void } = {},
  ) {
    this.sequences = sequences;
    this.liveForMs = liveForMs;
    this.onChange = onChange;
  }

  /** Declares the queues of a model, or changes its slots and rank. */
  open({ queue, talkQueue, slots, rank }: OpenedQueue): void {
    const known = this.lines.get(queue);
    if (known) Object.assign(known.model, { slots, rank });
    else {
      const model = { slots, rank, liveUntil: 0 } as Model;
      model.work = { model, talks: false, tasks: new Set(), running: 0 };
      model.talk = { model, talks: true, tasks: new Set(), running: 0 };
      this.lines.set(queue, model.work);
      this.lines.set(talkQueue, model.talk);
    }
    this.give();
  }

  /**
   * The worker that polled the queue has ended, so whatever permits it was given are free: one that is given in the
   * moment in which the worker gives up asking is never handed back by the SDK.
   */
  close(queue: string): void {
    const known = this.lines.get(queue);
    if (!known) return;
    delete known.polling;
    known.tasks.clear();
    if (known.talks) known.model.liveUntil = 0;
    for (const waiting of this.polls) if (waiting.queue === queue) this.polls.delete(waiting);
    this.give();
  }

  /** The model server's limit has changed; calls in hand go on. */
  resize(sequences: number): void {
    this.sequences = sequences;
    this.give();
  }

  /** From the next message on. */
  keepFor(liveForMs: number): void {
    this.liveForMs = liveForMs;
  }

  /** Most sequences at once. */
  get limit(): number {
    return this.sequences;
  }

  get inUse(): number {
    return this.running;
  }

  /** Seconds of sequences in use since the start, summed: its growth over a call ÷ the call's seconds is how many ran. */
  busySeconds(): number {
    const now = performance.now();
    this.busy += (this.running * (now - this.countedAt)) / 1000;
    this.countedAt = now;
    return this.busy;
  }

  acquire(queue: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    return this.turn(this.calls, queue, signal);
  }

  /** The slot supplier of the Temporal worker that polls `queue`. */
  supplierFor(queue: string): CustomSlotSupplier<ActivitySlotInfo> {
    return {
      type: 'custom',
      reserveSlot: (_context, signal) => this.turn(this.polls, queue, signal),
      // Eager tasks would pass the gate of the other machine's free sequences.
      tryReserveSlot: () => null,
      markSlotUsed: ({ permit }) => this.used(permit as unknown as SlotPermit),
      releaseSlot: ({ permit }) => this.released(permit as unknown as SlotPermit),
    };
  }

  /** Waits in a line until something is given; aborted, it leaves the line. */
  private turn<Value>(line: Set<Waiting<Value>>, queue: string, signal: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        line.delete(waiting);
        reject(signal.reason as Error);
      };
      const waiting: Waiting<Value> = {
        queue,
        give(value) {
          line.delete(waiting);
          signal.removeEventListener('abort', leave);
          resolve(value);
        },
      };
      if (signal.aborted) {
        leave();
        return;
      }
      signal.addEventListener('abort', leave, { once: true });
      line.add(waiting);
      this.give();
    });
  }

  private give(): void {
    this.giveCalls();
    this.givePolls();
  }

  private givePolls(): void {
    for (;;) {
      const next = this.nextTalkPoll() ?? this.nextWorkPoll();
      if (!next) return;
      const line = this.lines.get(next.queue)!;
      const permit: SlotPermit = { queue: next.queue, fresh: !line.talks };
      line.polling = permit;
      if (permit.fresh) setTimeout(() => this.cool(permit), freshMs).unref();
      next.give(permit);
    }
  }

  private nextTalkPoll(): Waiting<SlotPermit> | undefined {
    return [...this.polls].find((waiting) => {
      const line = this.lines.get(waiting.queue);
      return line?.talks && !line.polling && waitingMessages(line) === 0 && line.tasks.size < line.model.slots;
    });
  }

  private nextWorkPoll(): Waiting<SlotPermit> | undefined {
    let taken = this.someKept() ? 1 : 0;
    for (const line of this.lines.values()) taken += line.tasks.size + (line.polling?.fresh ? 1 : 0);
    if (taken >= this.sequences) return undefined;
    let best: Waiting<SlotPermit> | undefined;
    let bestRank = Number.POSITIVE_INFINITY;
    for (const waiting of this.polls) {
      const line = this.lines.get(waiting.queue);
      if (!line || line.talks || line.polling) continue;
      const { model } = line;
      const held = line.tasks.size + model.talk.tasks.size + (this.isKept(model) ? 1 : 0);
      if (held >= model.slots || model.rank >= bestRank) continue;
      best = waiting;
      bestRank = model.rank;
    }
    return best;
  }

  private cool(permit: SlotPermit): void {
    if (this.lines.get(permit.queue)!.polling !== permit) return;
    permit.fresh = false;
    this.givePolls();
  }

  private used(permit: SlotPermit): void {
    const line = this.lines.get(permit.queue)!;
    if (line.polling !== permit) return;
    delete line.polling;
    line.tasks.add(permit);
    if (line.talks) this.goesOn(line.model);
    this.givePolls();
  }

  private released(permit: SlotPermit): void {
    const line = this.lines.get(permit.queue)!;
    if (line.tasks.delete(permit) && line.talks) this.goesOn(line.model);
    if (line.polling === permit) delete line.polling;
    this.give();
  }

  private giveCalls(): void {
    for (;;) {
      const free = [...this.calls].filter(({ queue }) => this.mayRun(queue));
      const next = free.find(({ queue }) => this.lines.get(queue)?.talks) ?? free[0];
      if (!next) return;
      const line = this.lines.get(next.queue);
      this.count(line, 1);
      let given = true;
      next.give(() => {
        if (!given) return;
        given = false;
        this.count(line, -1);
        this.give();
      });
    }
  }

  private count(line: Line | undefined, by: 1 | -1): void {
    this.busySeconds();
    this.running += by;
    if (line) line.running += by;
    this.onChange();
  }

  /** Whether a call of the queue may have a sequence now; what waits for a message, or is kept for one, is not for others. */
  private mayRun(queue: string): boolean {
    const line = this.lines.get(queue);
    const { model } = line ?? {};
    const ofModel = model ? model.work.running + model.talk.running : 0;
    if (line?.talks) return this.running < this.sequences && ofModel < line.model.slots;
    let meant = this.someKept() ? 1 : 0;
    for (const each of this.lines.values()) if (each.talks) meant += waitingMessages(each);
    if (this.running + meant >= this.sequences) return false;
    return !model || ofModel + waitingMessages(model.talk) + (this.isKept(model) ? 1 : 0) < model.slots;
  }

  /** Whether a sequence stands free for the next message of a conversation with this model. */
  private isKept({ slots, talk, liveUntil }: Model): boolean {
    const idle = talk.tasks.size === 0 && talk.running === 0;
    return idle && slots > 1 && this.sequences > 1 && performance.now() < liveUntil;
  }

  /** One for the whole server: where several talk at once, the next takes what becomes free next. */
  private someKept(): boolean {
    for (const { model, talks } of this.lines.values()) if (talks && this.isKept(model)) return true;
    return false;
  }

  private goesOn(model: Model): void {
    if (this.liveForMs === 0) return;
    model.liveUntil = performance.now() + this.liveForMs;
    setTimeout(() => this.give(), this.liveForMs + 1).unref();
  }
}

/** Messages claimed here that have no sequence yet. */
function waitingMessages({ tasks, running }: Line): number {
  return Math.max(0, tasks.size - running);
}
