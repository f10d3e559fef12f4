import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import type { HeldModel } from '../../domain/model-manifest.ts';
import { plainDigest } from '../../domain/model-manifest.ts';
import { modelConnectionError, modelStatusError, modelStreamError } from './model-errors.ts';
import { linesOf, ollamaRoot } from './ollama.ts';

/** The models that an Ollama has on its disk: what they are, copies of them, and new ones from its registry. */

interface Options {
  apiKey?: string | undefined;
  signal?: AbortSignal | undefined;
}

const tagsSchema = z.object({
  models: z.array(z.object({ name: z.string(), digest: z.string(), size: z.number() })),
});
const answerSchema = z.object({
  response: z.string().default(''),
  // Some think whatever they are told.
  thinking: z.string().default(''),
  done: z.boolean().default(false),
});
const progressSchema = z.object({
  status: z.string().optional(),
  error: z.string().optional(),
  completed: z.number().optional(),
  total: z.number().optional(),
});

const listMs = 10_000;
const copyMs = 30_000;
/** As long as loading may take elsewhere. */
const answerMs = 300_000;
/** A registry that sends nothing for so long is taken for gone. */
const silentMs = 120_000;
/** Ollama says that it verifies, then hashes all that it fetched without a word: big weights on a slow disk take as long. */
const hashingMs = 3_600_000;

/** Everything that it has, by name. */
export async function heldModels(baseUrl: string, options: Options = {}): Promise<HeldModel[]> {
  const answer = await asked(`${ollamaRoot(baseUrl)}/api/tags`, { method: 'GET' }, listMs, options);
  const tags = tagsSchema.safeParse(await json(answer));
  if (!tags.success)
    throw new DomainError('MODEL_SERVER_DOWN', 'what answers there does not tell digests as Ollama does', {
      cause: tags.error,
    });
  return tags.data.models.map(({ name, digest, size }) => ({ name, digest: plainDigest(digest), bytes: size }));
}

/** Gives what is there a second name; nothing is copied on the disk. What had that name before loses it. */
export async function copyModel(
  baseUrl: string,
  { from, to }: { from: string; to: string },
  options: Options = {},
): Promise<void> {
  const body = { source: from, destination: to };
  const answer = await asked(`${ollamaRoot(baseUrl)}/api/copy`, post(body), copyMs, options);
  await answer.arrayBuffer();
}

/** Takes a name away; layers that no other name has are deleted. One that is not there is no error. */
export async function deleteModel(baseUrl: string, model: string, options: Options = {}): Promise<void> {
  try {
    const init = { ...post({ model }), method: 'DELETE' };
    const answer = await asked(`${ollamaRoot(baseUrl)}/api/delete`, init, copyMs, options);
    await answer.arrayBuffer();
  } catch (err) {
    if (!isDomainError(err, 'MODEL_MISSING')) throw err;
  }
}

/** Has it fetch what its registry has under a name; what was there before stays whole if that fails. */
export async function pullModel(
  baseUrl: string,
  model: string,
  { onProgress, ...options }: Options & { onProgress: (status: string) => void },
): Promise<void> {
  const silent = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const heard = (status: string) => {
    clearTimeout(timer);
    const hashes = status.startsWith('verifying');
    const said = hashes ? 'Ollama verifies without an end' : 'the registry sends nothing any more';
    timer = setTimeout(() => silent.abort(new Error(said)), hashes ? hashingMs : silentMs);
  };
  heard('');
  const signal = options.signal ? AbortSignal.any([options.signal, silent.signal]) : silent.signal;
  try {
    const body = { model, stream: true };
    const answer = await streamed(`${ollamaRoot(baseUrl)}/api/pull`, post(body), { ...options, signal });
    for await (const line of linesOf(Readable.toWeb(answer) as ReadableStream<Uint8Array>)) {
      const { status = '', error, completed, total } = progressSchema.parse(JSON.parse(line));
      heard(status);
      if (error !== undefined && /manifest.*(does not exist|not found)/.test(error))
        throw new DomainError('MODEL_MISSING', `the registry has no ${model}: ${error}`);
      if (error !== undefined) throw modelStreamError({ message: error });
      onProgress(completed !== undefined && total ? `${status} ${Math.floor((completed / total) * 100)} %` : status);
      if (status === 'success') return;
    }
    throw new DomainError('MODEL_SERVER_DOWN', `fetching ${model} ended before it was done`);
  } catch (err) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw err instanceof DomainError ? err : modelConnectionError(silent.signal.aborted ? silent.signal.reason : err);
  } finally {
    clearTimeout(timer);
  }
}

/** Loads a model with its pinned context, keeps it in memory, and has it say something. */
export async function tryModel(
  baseUrl: string,
  { id, contextTokens }: { id: string; contextTokens: number },
  options: Options = {},
): Promise<void> {
  const body = {
    model: id,
    prompt: 'Answer in one short sentence: what do you see when you look out of a window at night?',
    keep_alive: -1,
    stream: false,
    think: false,
    options: { num_ctx: contextTokens, num_predict: 32, temperature: 0, seed: 1 },
  };
  const answer = await asked(`${ollamaRoot(baseUrl)}/api/generate`, post(body), answerMs, options);
  const { response, thinking, done } = answerSchema.parse(await json(answer));
  const said = `${thinking}${response}`.trim();
  // Broken weights answer with nothing, or with one sign over and over.
  if (!done || new Set(said).size < 4)
    throw new DomainError('MODEL_OUTPUT_INVALID', `asked for a sentence it said ${JSON.stringify(said.slice(0, 80))}`);
}

function post(body: Record<string, unknown>) {
  return { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

async function json(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (err) {
    throw modelConnectionError(err);
  }
}

const withKey = (headers: Record<string, string> | undefined, apiKey: string | undefined) => ({
  ...headers,
  ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
});

/** An answer that may be silent for as long as its caller bears: `fetch` breaks one off after five minutes. */
async function streamed(
  url: string,
  { method, headers, body }: ReturnType<typeof post>,
  { apiKey, signal }: Options & { signal: AbortSignal },
): Promise<IncomingMessage> {
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = send(url, { method, headers: withKey(headers, apiKey), signal }, resolve);
    request.on('error', reject);
    request.end(body);
  });
  const status = answer.statusCode ?? 0;
  if (status < 200 || status > 299) throw modelStatusError(status, await text(answer));
  return answer;
}

async function asked(
  url: string,
  init: { method: string; body?: string; headers?: Record<string, string> },
  timeoutMs: number,
  { apiKey, signal }: Options,
): Promise<Response> {
  const signals = [AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])];
  const headers = withKey(init.headers, apiKey);
  try {
    const response = await fetch(url, { ...init, headers, signal: AbortSignal.any(signals) });
    if (!response.ok) throw modelStatusError(response.status, await response.text());
    return response;
  } catch (err) {
    if (signal?.aborted) throw signal.reason;
    throw err instanceof DomainError ? err : modelConnectionError(err);
  }
}
