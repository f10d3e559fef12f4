/**
 * Processor sharing on paper: every running job gets tokensPerSecond ÷ (1 + slowdown × (running − 1)), jobs beyond the slots
 * wait in order. Progress is integrated over time from one end of a job to the next, so it is right however late it is asked for.
 */
export interface SlotShareOptions {
  slots: number;
  tokensPerSecond: number;
  slowdown: number;
}

export interface SlotJob {
  tokens: number;
  /** Reached its tokens and keeps the slot without moving on: a stall. */
  holds?: boolean;
}

type JobState = { at: 'queued' } | { at: 'running'; from: number } | { at: 'held' } | { at: 'gone' };

export interface SlotShareEvents<J extends SlotJob> {
  admitted(job: J): void;
  /** Reached its tokens; the slot is free again unless the job holds it. */
  reached(job: J): void;
}

export function createSlotShare<J extends SlotJob>(
  options: SlotShareOptions,
  events: SlotShareEvents<J>,
  startMs: number,
) {
  const states = new Map<J, JobState>();
  const queue: J[] = [];
  const running = new Set<J>();
  let held = 0;
  let nowMs = startMs;
  let speed = 1;
  /** Tokens that a job running since the start would have. */
  let service = 0;
  let busySlotMs = 0;
  let mostRunning = 0;
  let tokens = 0;

  function ratePerMs(): number {
    return running.size === 0
      ? 0
      : (speed * options.tokensPerSecond) / (1 + options.slowdown * (running.size - 1)) / 1000;
  }

  function move(toMs: number): void {
    const passed = Math.max(0, toMs - nowMs);
    service += ratePerMs() * passed;
    tokens += ratePerMs() * passed * running.size;
    busySlotMs += (running.size + held) * passed;
    nowMs = Math.max(nowMs, toMs);
  }

  function admit(): void {
    while (running.size + held < options.slots) {
      const job = queue.shift();
      if (job === undefined) break;
      states.set(job, { at: 'running', from: service });
      running.add(job);
      mostRunning = Math.max(mostRunning, running.size);
      events.admitted(job);
    }
  }

  function next(): { job: J; atMs: number } | undefined {
    let first: { job: J; left: number } | undefined;
    for (const job of running) {
      const state = states.get(job);
      if (state?.at !== 'running') continue;
      const left = Math.max(0, state.from + job.tokens - service);
      if (first === undefined || left < first.left) first = { job, left };
    }
    const rate = ratePerMs();
    if (first === undefined || rate === 0) return undefined;
    return { job: first.job, atMs: nowMs + first.left / rate };
  }

  function advance(toMs: number): void {
    for (let end = next(); end !== undefined && end.atMs <= toMs; end = next()) {
      move(end.atMs);
      running.delete(end.job);
      if (end.job.holds) {
        held += 1;
        states.set(end.job, { at: 'held' });
      } else {
        states.delete(end.job);
      }
      events.reached(end.job);
      admit();
    }
    move(toMs);
  }

  return {
    advance,
    add(job: J, atMs: number): void {
      advance(atMs);
      states.set(job, { at: 'queued' });
      queue.push(job);
      admit();
    },
    /** A job whose caller went away. */
    remove(job: J, atMs: number): void {
      advance(atMs);
      const state = states.get(job);
      if (state === undefined) return;
      states.delete(job);
      if (state.at === 'queued') queue.splice(queue.indexOf(job), 1);
      if (state.at === 'running') running.delete(job);
      if (state.at === 'held') held -= 1;
      admit();
    },
    /** Whole tokens a job has so far. */
    tokensOf(job: J): number {
      const state = states.get(job);
      if (state?.at === 'queued') return 0;
      if (state?.at === 'running') return Math.min(job.tokens, Math.floor(service - state.from + 1e-9));
      return job.tokens;
    },
    /** 0 freezes every job where it is. */
    setSpeed(factor: number, atMs: number): void {
      advance(atMs);
      speed = factor;
    },
    nextEndMs: (): number | undefined => next()?.atMs,
    runningJobs: (): Iterable<J> => running,
    counts: () => ({
      running: running.size,
      held,
      queued: queue.length,
      mostRunning,
      tokens: Math.round(tokens),
      busySlotSeconds: busySlotMs / 1000,
    }),
  };
}
