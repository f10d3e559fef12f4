import type { ServerResponse } from 'node:http';
import { type ChatBody, wantsJson } from './model-server-replies.ts';
import { type SlotJob, type SlotShareOptions, createSlotShare } from './slot-share.ts';

/** One answer on its way: SSE chunks, or Ollama's lines where `native`. */
export interface StreamJob extends SlotJob {
  body: ChatBody;
  native: boolean;
  res: ServerResponse;
  text: string;
  sent: number;
  ends: 'finish' | 'cut' | 'endEarly' | 'stall' | 'error';
  /** Tokens the whole text takes; more than `tokens` where something ends it before. */
  wantedTokens: number;
  promptTokens: number;
  /** performance.now() when it got its slot. */
  admittedAt?: number;
}

/** One answer that was written to its end. */
export interface Generation {
  model: string;
  /** Asked for by a schema, as background work does; a conversation's is plain text. */
  json: boolean;
  seconds: number;
}

/** Generations kept for whoever asks. */
const mostGenerations = 20_000;

/** Sends all running answers at the speed they share, from one loop. */
export function createStreams(options: SlotShareOptions & { flushMs: number }) {
  const counted = { started: 0, finished: 0, aborted: 0 };
  const done: StreamJob[] = [];
  const generations: Generation[] = [];
  let timer: NodeJS.Timeout | undefined;

  const share = createSlotShare<StreamJob>(
    options,
    {
      admitted(job) {
        counted.started += 1;
        job.admittedAt = performance.now();
        sendHead(job);
      },
      reached: (job) => done.push(job),
    },
    performance.now(),
  );

  /** Sends what has come since the last turn, then sleeps until the next chunk or end is due. */
  function turn(): void {
    clearTimeout(timer);
    timer = undefined;
    share.advance(performance.now());
    for (const job of done.splice(0)) end(job);
    for (const job of share.runningJobs()) flush(job);
    if (share.counts().running === 0) return;
    const endInMs = (share.nextEndMs() ?? Number.POSITIVE_INFINITY) - performance.now();
    timer = setTimeout(turn, Math.max(1, Math.min(options.flushMs, Math.ceil(endInMs))));
  }

  function flush(job: StreamJob): void {
    const tokens = share.tokensOf(job);
    if (tokens <= job.sent) return;
    const from = Math.floor((job.text.length * job.sent) / job.wantedTokens);
    const to = Math.floor((job.text.length * tokens) / job.wantedTokens);
    job.sent = tokens;
    write(job, { content: job.text.slice(from, to) });
  }

  function end(job: StreamJob): void {
    flush(job);
    if (job.ends === 'stall') return;
    if (job.ends === 'cut') {
      job.res.destroy();
      return;
    }
    if (job.ends === 'endEarly') {
      job.res.end();
      return;
    }
    if (job.ends === 'error') {
      const message = 'slot failed';
      job.res.end(job.native ? `${JSON.stringify({ error: message })}\n` : event({ error: { code: 500, message } }));
      return;
    }
    counted.finished += 1;
    const seconds = (performance.now() - (job.admittedAt ?? performance.now())) / 1000;
    generations.push({ model: job.body.model, json: wantsJson(job.body), seconds });
    if (generations.length > mostGenerations) generations.shift();
    const reason = job.wantedTokens > job.tokens ? 'length' : 'stop';
    if (job.native) {
      const counts = { prompt_eval_count: job.promptTokens, eval_count: job.tokens };
      const message = { role: 'assistant', content: '' };
      job.res.end(
        `${JSON.stringify({ model: job.body.model, message, done: true, done_reason: reason, ...counts })}\n`,
      );
      return;
    }
    write(job, {}, reason);
    job.res.end(`${event({ ...chunkBase(job), choices: [], usage: usageOf(job) })}data: [DONE]\n\n`);
  }

  function write(job: StreamJob, delta: { content?: string }, finishReason: string | null = null): void {
    if (job.native) {
      const message = { role: 'assistant', content: delta.content ?? '' };
      job.res.write(`${JSON.stringify({ model: job.body.model, message, done: false })}\n`);
      return;
    }
    const asked = job.body.raw['stream_options'] as { continuous_usage_stats?: boolean } | undefined;
    const usage = asked?.continuous_usage_stats ? { usage: usageOf(job) } : {};
    job.res.write(event({ ...chunkBase(job), choices: [{ index: 0, delta, finish_reason: finishReason }], ...usage }));
  }

  return {
    readPrompt(job: StreamJob, ms: number, read: () => void): void {
      sendHead(job);
      const startedAt = performance.now();
      const batch = setInterval(() => {
        const share = Math.min(1, (performance.now() - startedAt) / ms);
        if (job.body.raw['return_progress'] === true) {
          const progress = { total: job.promptTokens, cache: 0, processed: Math.floor(job.promptTokens * share) };
          const choices = [{ index: 0, delta: { role: 'assistant', content: null }, finish_reason: null }];
          job.res.write(event({ ...chunkBase(job), choices, prompt_progress: progress }));
        }
        if (share === 1) read();
        if (share === 1 || job.res.destroyed) clearInterval(batch);
      }, options.flushMs);
    },
    start(job: StreamJob): void {
      share.add(job, performance.now());
      turn();
    },
    /** The caller went away. */
    abort(job: StreamJob): void {
      counted.aborted += 1;
      share.remove(job, performance.now());
      turn();
    },
    generations: (): Generation[] => [...generations],
    setSpeed(factor: number): void {
      share.setSpeed(factor, performance.now());
      turn();
    },
    stats() {
      share.advance(performance.now());
      return { ...counted, ...share.counts() };
    },
    stop(): void {
      clearTimeout(timer);
    },
  };
}

function sendHead(job: StreamJob): void {
  if (job.res.headersSent) return;
  job.res.writeHead(200, { 'content-type': job.native ? 'application/x-ndjson' : 'text/event-stream' });
  job.res.flushHeaders();
}

function chunkBase(job: StreamJob) {
  return { id: 'chatcmpl-double', object: 'chat.completion.chunk', created: 0, model: job.body.model };
}

function usageOf(job: StreamJob) {
  return {
    prompt_tokens: job.promptTokens,
    completion_tokens: job.sent,
    total_tokens: job.promptTokens + job.sent,
  };
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
