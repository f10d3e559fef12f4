import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { type ChatBody, type Replies, agentOf, answerFor, wantsJson } from './model-server-replies.ts';
import { type Generation, type StreamJob, createStreams } from './model-server-streams.ts';

/** Applies to every request from now on, or to as many as `times` says; `down` and `freeze` apply to the server at once. */
export type Fault =
  /** `cut` breaks the connection, `endEarly` ends the answer properly but without a finish reason, as proxies do. */
  | { kind: 'stall' | 'cut' | 'endEarly'; afterTokens: number; times?: number }
  | { kind: 'status'; status: number; retryAfterSeconds?: number; message?: string; times?: number }
  | { kind: 'brokenJson' | 'errorInStream'; times?: number }
  | { kind: 'slowHeaders'; ms: number; times?: number }
  /** Reads the prompt for so long after the headers; as llama.cpp it tells of each batch if asked to. */
  | { kind: 'slowPrompt'; ms: number; times?: number }
  | { kind: 'freeze' }
  /** Ollama refuses to unload. */
  | { kind: 'keeps' }
  /** Refuses connections and breaks open ones, for `forMs` or until the fault is taken away. */
  | { kind: 'down'; forMs?: number };

export interface ModelServerOptions {
  slots: number;
  /** Of one sequence alone. */
  tokensPerSecond: number;
  /** Each of b sequences runs at tokensPerSecond ÷ (1 + slowdown × (b − 1)). Default 0. */
  slowdown?: number;
  /** Default: `test-model`. */
  models?: string[];
  /** Default: a free one. */
  port?: number;
  seed?: number;
  /** Default: the token count set for the prompt's agent, else max_tokens; questions or insights over the prompt's memories. */
  replies?: Replies;
  /** A longer prompt with its answer is refused as llama.cpp does. Default: none is. */
  contextTokens?: number;
  /** What Ollama says that each model takes. Default 1. */
  vramGiB?: number;
  /** Time between two chunks of a stream. Default 80. */
  flushMs?: number;
  /** What Ollama's registry gives by each name. Default: none is to be had. */
  registry?: Record<string, string>;
  /** Versions that Ollama loads and that say nothing. */
  mute?: string[];
  /** Awaited before a pull has what it fetches, and told before a model is loaded. */
  on?: { pull?: () => Promise<void>; load?: (model: string) => void };
}

/** The digest that a model of this double has until something else is pulled. */
export const firstDigest = (name: string) => createHash('sha256').update(name).digest('hex');

export interface ModelServerStats {
  requests: number;
  started: number;
  finished: number;
  /** Requests whose caller went away before the end. */
  aborted: number;
  faulted: number;
  running: number;
  held: number;
  queued: number;
  mostRunning: number;
  tokens: number;
  busySlotSeconds: number;
}

export interface ModelServer {
  /** OpenAI-compatible base, ends in /v1. */
  url: string;
  port: number;
  stats(): ModelServerStats;
  lastBody(): ChatBody | undefined;
  loadedModels(): string[];
  /** What Ollama has on its disk: digests by name. */
  installed(): Record<string, string>;
  /** As `ollama pull` of somebody beside us does. */
  replace(model: string, digest: string): void;
  setFault(fault: Fault | null): Promise<void>;
  /** Output tokens by name of the agent in the prompt. */
  setTokens(tokensByAgent: Record<string, number>): void;
  /** The last generations that ended by themselves. */
  generations(): Generation[];
  close(): Promise<void>;
}

/** A model server of the OpenAI-compatible kind (and Ollama's own API) with real sockets, shared speed and faults to order. */
export async function startModelServer(options: ModelServerOptions): Promise<ModelServer> {
  const models = [...(options.models ?? ['test-model'])];
  const digests = new Map(models.map((name) => [name, firstDigest(name)]));
  const loaded = new Set<string>();
  const counted = { requests: 0, faulted: 0 };
  let tokensByAgent: Record<string, number> = {};
  /** Of answers in plain text, whoever they are of. */
  let plainTokens: number | undefined;
  let fault: Fault | null = null;
  let faultsLeft = 0;
  let lastBody: ChatBody | undefined;
  let restore: NodeJS.Timeout | undefined;
  const streams = createStreams({
    slots: options.slots,
    tokensPerSecond: options.tokensPerSecond,
    slowdown: options.slowdown ?? 0,
    flushMs: options.flushMs ?? 80,
  });

  function generate(body: ChatBody, native: boolean, res: ServerResponse): void {
    counted.requests += 1;
    lastBody = body;
    const current = takeFault();
    if (current?.kind === 'status') {
      const retryAfter =
        current.retryAfterSeconds === undefined ? {} : { 'retry-after': String(current.retryAfterSeconds) };
      return refuse(res, current.status, current.message ?? `told to answer ${current.status}`, retryAfter);
    }
    if (!models.includes(body.model)) return refuse(res, 404, `model "${body.model}" not found`);
    const promptTokens = Math.ceil(body.messages.reduce((sum, message) => sum + message.content.length, 0) / 4);
    if (promptTokens + body.maxTokens > (options.contextTokens ?? Number.POSITIVE_INFINITY)) {
      return refuse(res, 400, `the request exceeds the available context size (${options.contextTokens} tokens)`);
    }
    const said = options.replies?.(body) ?? {};
    const agent = agentOf(body);
    const ordered = wantsJson(body) ? undefined : plainTokens;
    const wantedTokens =
      said.tokens ?? ordered ?? (agent === undefined ? undefined : tokensByAgent[agent]) ?? body.maxTokens;
    const text = said.text ?? answerFor(body, options.seed ?? 0);
    const job: StreamJob = {
      body,
      native,
      res,
      text: current?.kind === 'brokenJson' ? text.slice(0, -3) : text,
      sent: 0,
      ends: 'finish',
      wantedTokens,
      promptTokens,
      tokens: Math.min(wantedTokens, body.maxTokens),
    };
    if (current?.kind === 'stall' || current?.kind === 'cut' || current?.kind === 'endEarly') {
      job.tokens = Math.min(job.tokens, current.afterTokens);
      job.ends = current.kind;
      job.holds = current.kind === 'stall';
    }
    if (current?.kind === 'errorInStream') job.ends = 'error';
    res.on('close', () => {
      if (res.writableFinished) return;
      if (job.ends === 'cut' && job.sent >= job.tokens) return;
      streams.abort(job);
    });
    const admit = () => {
      if (!res.destroyed) streams.start(job);
    };
    if (current?.kind === 'slowHeaders') setTimeout(admit, current.ms).unref();
    else if (current?.kind === 'slowPrompt') streams.readPrompt(job, current.ms, admit);
    else admit();
  }

  /** Gives a version a name, in place of the one that had it. */
  function name(model: string, digest: string): void {
    if (!models.includes(model)) models.push(model);
    digests.set(model, digest);
  }

  function takeFault(): Fault | null {
    if (fault === null || ['down', 'freeze', 'keeps'].includes(fault.kind) || faultsLeft <= 0) return null;
    faultsLeft -= 1;
    counted.faulted += 1;
    return fault;
  }

  async function setFault(next: Fault | null): Promise<void> {
    clearTimeout(restore);
    if (fault?.kind === 'down') await listen(port);
    if (fault?.kind === 'freeze') streams.setSpeed(1);
    fault = next;
    faultsLeft = next !== null && 'times' in next ? (next.times ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    if (next?.kind === 'freeze') streams.setSpeed(0);
    if (next?.kind === 'down') {
      await stopListening();
      if (next.forMs !== undefined) restore = setTimeout(() => void setFault(null), next.forMs);
    }
  }

  function stats(): ModelServerStats {
    return { ...counted, ...streams.stats() };
  }

  async function control(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.method === 'POST') {
      const order = JSON.parse(await textOf(req)) as {
        fault?: Fault | null;
        tokensByAgent?: Record<string, number>;
        plainTokens?: number;
      };
      plainTokens = order.plainTokens ?? plainTokens;
      if (order.tokensByAgent !== undefined) tokensByAgent = order.tokensByAgent;
      if (order.fault?.kind === 'down') setImmediate(() => void setFault(order.fault ?? null));
      else if (order.fault !== undefined) await setFault(order.fault);
    }
    json(res, 200, stats());
  }

  async function route(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = req.url ?? '/';
    if (path === '/control') return control(req, res);
    if (path === '/generations') return json(res, 200, streams.generations());
    if (req.method === 'POST' && path === '/v1/chat/completions')
      return generate(chatBody(await textOf(req)), false, res);
    if (req.method === 'POST' && path === '/api/chat') return generate(nativeBody(await textOf(req)), true, res);
    if (req.method === 'POST' && path === '/api/generate') {
      const body = JSON.parse(await textOf(req)) as { model: string; keep_alive?: number; prompt?: string };
      if (!models.includes(body.model)) return refuse(res, 404, `model '${body.model}' not found`);
      if (body.keep_alive === 0 && fault?.kind === 'keeps') return refuse(res, 500, 'told to keep it');
      if (body.keep_alive === 0) loaded.delete(body.model);
      else {
        options.on?.load?.(body.model);
        loaded.add(body.model);
      }
      const mute = options.mute?.includes(digests.get(body.model) ?? '') ?? false;
      const response = body.prompt === undefined || mute ? '' : 'A lamp, and somebody who waits under it.';
      return json(res, 200, { model: body.model, response, done: true });
    }
    if (req.method === 'POST' && path === '/api/copy') {
      const { source, destination } = JSON.parse(await textOf(req)) as { source: string; destination: string };
      const digest = digests.get(source);
      if (digest === undefined) return refuse(res, 404, `model '${source}' not found`);
      name(destination, digest);
      return json(res, 200, {});
    }
    if (req.method === 'DELETE' && path === '/api/delete') {
      const { model } = JSON.parse(await textOf(req)) as { model: string };
      if (!digests.delete(model)) return refuse(res, 404, `model '${model}' not found`);
      models.splice(models.indexOf(model), 1);
      return json(res, 200, {});
    }
    if (req.method === 'POST' && path === '/api/pull') {
      const { model } = JSON.parse(await textOf(req)) as { model: string };
      const digest = options.registry?.[model];
      res.writeHead(200, { 'content-type': 'application/x-ndjson' });
      if (digest === undefined) return void res.end('{"error":"pull model manifest: file does not exist"}\n');
      res.write('{"status":"pulling manifest"}\n');
      await options.on?.pull?.();
      name(model, digest);
      return void res.end('{"status":"verifying sha256 digest"}\n{"status":"success"}\n');
    }
    if (path === '/v1/models')
      return json(res, 200, { object: 'list', data: models.map((id) => ({ id, object: 'model' })) });
    if (path === '/api/version' || path === '/version') return json(res, 200, { version: '0.0.0-double' });
    if (path === '/api/tags') {
      const details = { parameter_size: '1B', quantization_level: 'Q4_K_M' };
      return json(res, 200, {
        models: models.map((name) => ({ name, digest: digests.get(name), size: 1024 ** 3, details })),
      });
    }
    if (path === '/api/ps') {
      return json(res, 200, {
        models: [...loaded].map((name) => ({
          name,
          size_vram: (options.vramGiB ?? 1) * 1024 ** 3,
          context_length: 4096,
        })),
      });
    }
    return refuse(res, 404, `no route ${path}`);
  }

  const server = createServer((req, res) => {
    route(req, res).catch((err: unknown) => refuse(res, 500, String(err)));
  });
  server.keepAliveTimeout = 60_000;

  function listen(at: number): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(at, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  }

  function stopListening(): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    return closed;
  }

  await listen(options.port ?? 0);
  const port = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    port,
    stats,
    lastBody: () => lastBody,
    generations: () => streams.generations(),
    loadedModels: () => [...loaded],
    installed: () => Object.fromEntries(digests),
    replace: name,
    setFault,
    setTokens: (next) => {
      tokensByAgent = next;
    },
    async close() {
      streams.stop();
      clearTimeout(restore);
      if (server.listening) await stopListening();
    },
  };
}

function chatBody(text: string): ChatBody {
  const raw = JSON.parse(text) as Record<string, unknown>;
  const {
    model,
    messages,
    max_tokens: maxTokens,
  } = raw as { model: string; messages: ChatBody['messages']; max_tokens?: number };
  return { model, messages, maxTokens: maxTokens ?? 256, raw };
}

function nativeBody(text: string): ChatBody {
  const raw = JSON.parse(text) as Record<string, unknown>;
  const { model, messages, options } = raw as {
    model: string;
    messages: ChatBody['messages'];
    options?: { num_predict?: number };
  };
  return { model, messages, maxTokens: options?.num_predict ?? 256, raw };
}

function json(res: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify(body));
}

function refuse(res: ServerResponse, status: number, message: string, headers: Record<string, string> = {}): void {
  json(res, status, { error: { code: status, message, type: 'double' } }, headers);
}

async function textOf(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

/** Its own process: `node test/support/model-server.ts --port 17100 --slots 4 --speed 60`; prints one JSON line when it listens. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      slots: { type: 'string', default: '4' },
      speed: { type: 'string', default: '100' },
      slowdown: { type: 'string', default: '0' },
      models: { type: 'string', default: 'test-model' },
      seed: { type: 'string', default: '0' },
      'flush-ms': { type: 'string', default: '80' },
    },
  });
  const server = await startModelServer({
    port: Number(values.port),
    slots: Number(values.slots),
    tokensPerSecond: Number(values.speed),
    slowdown: Number(values.slowdown),
    models: values.models.split(','),
    seed: Number(values.seed),
    flushMs: Number(values['flush-ms']),
  });
  const stop = () => void server.close().then(() => process.exit(0));
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // Started with a channel to its parent, it does not outlive it.
  process.once('disconnect', stop);
  process.stdout.write(`${JSON.stringify({ url: server.url, port: server.port, pid: process.pid })}\n`);
}

if (import.meta.main) await main();
