import { z } from 'zod';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import type { ModelServerKind } from '../../domain/fleet.ts';
import { copiedModel } from '../../domain/model-manifest.ts';
import { modelConnectionError, modelStatusError } from './model-errors.ts';
import { ollamaRoot } from './ollama.ts';

export interface ServedModel {
  id: string;
  /** Context a sequence has, where the server says it. */
  contextTokens?: number;
  /** Whether it is in memory now; servers with fixed models keep theirs. */
  loaded: boolean;
  vramGiB?: number;
}

export interface ModelServerState {
  up: boolean;
  /** Why it is not up. */
  reason?: string;
  models: ServedModel[];
  version?: string;
}

export interface InstalledModel {
  name: string;
  fileGiB: number;
  parameters?: string;
  quantisation?: string;
}

interface ProbeOptions {
  /** Default 2000. */
  timeoutMs?: number;
  apiKey?: string;
}

const gib = 1024 ** 3;
const listSchema = z.object({
  data: z.array(
    z.object({
      id: z.string(),
      max_model_len: z.number().optional(),
      // Of llama.cpp as a router over several models.
      status: z.object({ value: z.string() }).optional(),
    }),
  ),
});
const versionSchema = z.object({ version: z.string() });
const residentSchema = z.object({
  models: z.array(
    z.object({ name: z.string(), size_vram: z.number().default(0), context_length: z.number().optional() }),
  ),
});
const propsSchema = z.object({
  default_generation_settings: z.object({ n_ctx: z.number().optional() }).optional(),
  build_info: z.string().optional(),
});
const tagsSchema = z.object({
  models: z.array(
    z.object({
      name: z.string(),
      size: z.number(),
      details: z
        .object({ parameter_size: z.string().optional(), quantization_level: z.string().optional() })
        .optional(),
    }),
  ),
});

/** Asks a server what it has. `/v1/models` is the one probe that all kinds answer; a server that is down is a state, not an error. */
export async function probeModelServer(
  baseUrl: string,
  kind: ModelServerKind,
  options: ProbeOptions = {},
): Promise<ModelServerState> {
  const root = ollamaRoot(baseUrl);
  try {
    const { data } = await getJson(`${root}/v1/models`, listSchema, options);
    const models = data.map(
      ({ id, max_model_len: context, status }): ServedModel => ({
        id,
        loaded: status === undefined || status.value === 'loaded',
        ...(context === undefined ? {} : { contextTokens: context }),
      }),
    );
    return { up: true, ...(await detailsOf(root, kind, models, options)) };
  } catch (err) {
    return { up: false, reason: err instanceof Error ? err.message : String(err), models: [] };
  }
}

/** Brings a model into memory with its pinned context and keeps it there. Only Ollama loads on demand; elsewhere it must be served already. */
export async function loadModel(
  baseUrl: string,
  kind: ModelServerKind,
  model: { id: string; contextTokens: number },
  options: ProbeOptions & { signal?: AbortSignal } = {},
): Promise<void> {
  if (kind === 'ollama') {
    // Without the context a later call with its own would load the model again.
    const body = { model: model.id, keep_alive: -1, stream: false, options: { num_ctx: model.contextTokens } };
    await postJson(`${ollamaRoot(baseUrl)}/api/generate`, body, { timeoutMs: 300_000, ...options });
    return;
  }
  const state = await probeModelServer(baseUrl, kind, options);
  if (!state.up) throw new DomainError('MODEL_SERVER_DOWN', state.reason ?? 'the model server does not answer');
  if (state.models.some(({ id }) => id === model.id)) return;
  const served = state.models.map(({ id }) => id).join(', ') || 'none';
  throw new DomainError('MODEL_MISSING', `the server serves ${served}, not ${model.id}`);
}

/**
 * Frees the memory of a model where the server can: Ollama, and llama.cpp as a router over several models.
 * @returns false where the server keeps it, as those with fixed models do
 */
export async function unloadModel(
  baseUrl: string,
  kind: ModelServerKind,
  modelId: string,
  options: ProbeOptions & { signal?: AbortSignal } = {},
): Promise<boolean> {
  const within = { timeoutMs: 30_000, ...options };
  if (kind === 'ollama') {
    const body = { model: modelId, keep_alive: 0, stream: false };
    await postJson(`${ollamaRoot(baseUrl)}/api/generate`, body, within);
    return true;
  }
  if (kind !== 'llamacpp') return false;
  try {
    await postJson(`${ollamaRoot(baseUrl)}/models/unload`, { model: modelId }, within);
    return true;
  } catch (err) {
    // One that was started with a model of its own has no such route.
    if (isDomainError(err, 'MODEL_MISSING') || isDomainError(err, 'MODEL_REFUSED')) return false;
    throw err;
  }
}

/** Ollama on this host, if it runs, with what is installed: offered to the operator, never used unasked. */
export async function findOllama(
  options: { url?: string; timeoutMs?: number } = {},
): Promise<{ url: string; models: InstalledModel[] } | null> {
  const root = ollamaRoot(options.url ?? 'http://127.0.0.1:11434');
  let tags: z.infer<typeof tagsSchema>;
  try {
    tags = await getJson(`${root}/api/tags`, tagsSchema, { timeoutMs: options.timeoutMs ?? 500 });
  } catch {
    // Nothing there, or something else on its port: both mean that there is no Ollama to offer.
    return null;
  }
  // Copies of ours are what they were made from.
  const usual = tags.models.filter(({ name }) => copiedModel(name) === undefined);
  const models = usual.map(({ name, size, details }) => ({
    name,
    fileGiB: size / gib,
    ...(details?.parameter_size === undefined ? {} : { parameters: details.parameter_size }),
    ...(details?.quantization_level === undefined ? {} : { quantisation: details.quantization_level }),
  }));
  return { url: `${root}/v1`, models };
}

/** What only one kind of server says; where it does not, the list of models stands as it is. */
async function detailsOf(
  root: string,
  kind: ModelServerKind,
  models: ServedModel[],
  options: ProbeOptions,
): Promise<Omit<ModelServerState, 'up'>> {
  if (kind === 'ollama') {
    const [{ version }, resident] = await Promise.all([
      getJson(`${root}/api/version`, versionSchema, options),
      getJson(`${root}/api/ps`, residentSchema, options),
    ]);
    const loaded = new Map(resident.models.map((model) => [model.name, model]));
    return { version, models: models.map((model) => residentModel(model.id, loaded.get(model.id))) };
  }
  if (kind === 'vllm') {
    const said = await optional(getJson(`${root}/version`, versionSchema, options));
    return { models, ...(said === undefined ? {} : { version: said.version }) };
  }
  if (kind === 'llamacpp') {
    const props = await optional(getJson(`${root}/props`, propsSchema, options));
    const context = props?.default_generation_settings?.n_ctx;
    return {
      models: context === undefined ? models : models.map((model) => ({ ...model, contextTokens: context })),
      ...(props?.build_info === undefined ? {} : { version: props.build_info }),
    };
  }
  return { models };
}

function residentModel(
  id: string,
  resident: { size_vram: number; context_length?: number | undefined } | undefined,
): ServedModel {
  if (resident === undefined) return { id, loaded: false };
  const context = resident.context_length;
  return {
    id,
    loaded: true,
    vramGiB: resident.size_vram / gib,
    ...(context === undefined ? {} : { contextTokens: context }),
  };
}

/** A detail that older versions do not serve is left out; the server itself has answered before. */
async function optional<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (err) {
    if (err instanceof DomainError) return undefined;
    throw err;
  }
}

async function getJson<T>(url: string, schema: z.ZodType<T>, options: ProbeOptions): Promise<T> {
  const parsed = schema.safeParse(await request(url, { method: 'GET' }, options));
  if (parsed.success) return parsed.data;
  throw new DomainError('MODEL_SERVER_DOWN', `what answers at ${url} is no model server of this kind`, {
    cause: parsed.error,
  });
}

async function postJson(
  url: string,
  body: Record<string, unknown>,
  options: ProbeOptions & { signal?: AbortSignal },
): Promise<void> {
  await request(
    url,
    { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
    options,
  );
}

async function request(
  url: string,
  init: { method: string; body?: string; headers?: Record<string, string> },
  options: ProbeOptions & { signal?: AbortSignal },
): Promise<unknown> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 2000);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const headers = {
    ...init.headers,
    ...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
  };
  try {
    const response = await fetch(url, { ...init, headers, signal });
    const text = await response.text();
    if (!response.ok) throw modelStatusError(response.status, text);
    return JSON.parse(text);
  } catch (err) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw err instanceof DomainError ? err : modelConnectionError(err);
  }
}
