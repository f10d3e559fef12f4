import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import type { Permits } from '../activities/machine-calls.ts';

interface GateQueue {
  /** At most this many tasks of the queue at once: what its KV memory holds. */
  slots: number;
  /** Lower goes first. */
  rank: number;
  tasks: Set<SlotPermit>;
  /** The one permit that is given for a poll, until the poll brings a task or is given up. */
  polling?: SlotPermit;
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
 */
export class SlotGate implements Permits {
  private sequences: number;
  private readonly queues = new Map<string, GateQueue>();
  private polls: Waiting<SlotPermit>[] = [];
  private calls: Waiting<() => void>[] = [];
  private running = 0;
  private busy = 0;
  private countedAt = performance.now();

  constructor(sequences: number) {
    this.sequences = sequences;
  }

  /** Declares a queue or changes its slots; `rank` is how many machines serve it. */
  open(queue: string, slots: number, rank: number): void {
    const known = this.queues.get(queue);
    if (known) Object.assign(known, { slots, rank });
    else this.queues.set(queue, { slots, rank, tasks: new Set() });
    this.givePolls();
  }

  /**
   * The worker that polled the queue has ended, so whatever permits it was given are free: one that is given in the
   * moment in which the worker gives up asking is never handed back by the SDK.
   */
  close(queue: string): void {
    const known = this.queues.get(queue);
    if (!known) return;
    delete known.polling;
    known.tasks.clear();
    this.polls = this.polls.filter((waiting) => waiting.queue !== queue);
    this.givePolls();
  }

  /** The model server's limit has changed; calls in hand go on. */
  resize(sequences: number): void {
    this.sequences = sequences;
    this.givePolls();
    this.giveCalls();
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
    return new Promise((resolve, reject) => {
      const waiting: Waiting<() => void> = { queue, give: resolve };
      const leave = () => {
        this.calls = this.calls.filter((other) => other !== waiting);
        reject(signal.reason as Error);
      };
      waiting.give = (release) => {
        signal.removeEventListener('abort', leave);
        resolve(release);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.calls.push(waiting);
      this.giveCalls();
    });
  }

  /** The slot supplier of the Temporal worker that polls `queue`. */
  supplierFor(queue: string): CustomSlotSupplier<ActivitySlotInfo> {
    return {
      type: 'custom',
      reserveSlot: (_context, signal) => this.reserve(queue, signal),
      // Eager tasks would pass the gate of the other machine's free sequences.
      tryReserveSlot: () => null,
      markSlotUsed: ({ permit }) => this.used(permit as unknown as SlotPermit),
      releaseSlot: ({ permit }) => this.released(permit as unknown as SlotPermit),
    };
  }

  private reserve(queue: string, signal: AbortSignal): Promise<SlotPermit> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting<SlotPermit> = { queue, give: resolve };
      const leave = () => {
        this.polls = this.polls.filter((other) => other !== waiting);
        reject(signal.reason as Error);
      };
      if (signal.aborted) {
        leave();
        return;
      }
      waiting.give = (permit) => {
        signal.removeEventListener('abort', leave);
        resolve(permit);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.polls.push(waiting);
      this.givePolls();
    });
  }

  private givePolls(): void {
    for (;;) {
      const next = this.nextPoll();
      if (!next) return;
      this.polls = this.polls.filter((other) => other !== next);
      const queue = this.queues.get(next.queue)!;
      const permit: SlotPermit = { queue: next.queue, fresh: true };
      queue.polling = permit;
      setTimeout(() => this.cool(permit), freshMs).unref();
      next.give(permit);
    }
  }

  private nextPoll(): Waiting<SlotPermit> | undefined {
    let taken = 0;
    for (const queue of this.queues.values()) taken += queue.tasks.size + (queue.polling?.fresh ? 1 : 0);
    if (taken >= this.sequences) return undefined;
    let best: Waiting<SlotPermit> | undefined;
    let bestRank = Number.POSITIVE_INFINITY;
    for (const waiting of this.polls) {
      const queue = this.queues.get(waiting.queue);
      if (!queue || queue.polling || queue.tasks.size >= queue.slots || queue.rank >= bestRank) continue;
      best = waiting;
      bestRank = queue.rank;
    }
    return best;
  }

  private cool(permit: SlotPermit): void {
    if (this.queues.get(permit.queue)!.polling !== permit) return;
    permit.fresh = false;
    this.givePolls();
  }

  private used(permit: SlotPermit): void {
    const queue = this.queues.get(permit.queue)!;
    if (queue.polling !== permit) return;
    delete queue.polling;
    queue.tasks.add(permit);
    this.givePolls();
  }

  private released(permit: SlotPermit): void {
    const queue = this.queues.get(permit.queue)!;
    queue.tasks.delete(permit);
    if (queue.polling === permit) delete queue.polling;
    this.givePolls();
  }

  private giveCalls(): void {
    while (this.running < this.sequences && this.calls.length > 0) {
      const next = this.calls.shift()!;
      this.busySeconds();
      this.running += 1;
      let given = true;
      next.give(() => {
        if (!given) return;
        given = false;
        this.busySeconds();
        this.running -= 1;
        this.giveCalls();
      });
    }
  }
}
