import type { Span } from '@opentelemetry/api';
import type { ModelCall } from '../activities/machine-calls.ts';
import type { FleetView } from '../activities/fleet-view.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import type { FleetMachine } from '../domain/fleet.ts';
import {
  type Candidate,
  candidatesOf,
  copiedModel,
  type ModelReport,
  shortDigest,
  staleCopies,
} from '../domain/model-manifest.ts';
import type { RunsAs } from '../domain/states.ts';
import { type ChatModel, createChatModel } from '../integrations/inference/chat.ts';
import { footprint, loadedContext } from '../domain/vram.ts';
import { createExtractiveReflector } from '../integrations/inference/extractive.ts';
import type { Generation, TextModel } from '../integrations/inference/inference.ts';
import { copyModel, deleteModel, heldModels, pullModel, tryModel } from '../integrations/inference/ollama-models.ts';
import { createModelReflector, createTextModel } from '../integrations/inference/model-reflector.ts';
import {
  loadModel,
  type ModelServerState,
  probeModelServer,
  unloadModel,
} from '../integrations/inference/model-server-probe.ts';
import { inSpan } from '../observability/tracing.ts';
import type { ModelLoader } from './inference-pool.ts';

/** A machine calls its own server, a server elsewhere that only this worker fronts, or has none and quotes memories. */
export function runsAsOf(machine: FleetMachine, hostName: string): RunsAs {
  if (machine.modelServer?.url === undefined) return 'simulated';
  return (machine.host ?? machine.id) === hostName ? 'local' : 'remote';
}

/** What the model server has in the memory of the cards now. */
export interface ServerMemory {
  /** By its own word where it says it, as Ollama does; else as the plan counts the models of ours that it has. */
  gib: number;
  /** Of fleet.yaml. */
  modelIds: string[];
}

/** A server that is away is told of by its probe. */
function unanswered(err: unknown): null {
  if (err instanceof DomainError) return null;
  throw err;
}

/** Ollama knows a model by its name with and without the usual tag. */
const plainName = (name: string) => name.replace(/:latest$/, '');

export interface MachineModels extends ModelLoader {
  /** Undefined: the server does not answer, and what it holds is not known. */
  holds(): Promise<ServerMemory | undefined>;
  callFor(modelId: string): ModelCall;
  /** Whether the model server answers; a simulated machine always does. */
  probe(): Promise<Pick<ModelServerState, 'up' | 'reason'>>;
  /** What the model server says of itself; null on a simulated machine. */
  probeServer(): Promise<ModelServerState | null>;
  /** Which weights it has and serves; undefined on a simulated machine. */
  report(): Promise<ModelReport | undefined>;
  /** Has the wanted version of a model on the disk, from the registry where it is not there; nothing that is served changes. */
  fetch(modelId: string, watch: { signal: AbortSignal; onProgress: (status: string) => void }): Promise<void>;
  /** Whether it serves the wanted version of a model, or fleet.yaml names none. */
  isWanted(modelId: string): boolean;
  /** Tries a version again that gave no answer. */
  forgive(modelId: string): void;
  /** Why the wanted version is not served, where it was tried. */
  whyNot(modelId: string): string | undefined;
  /** Deletes the machine's own copies of versions that are accepted no more. */
  tidy(modelId: string, signal: AbortSignal): Promise<void>;
}

/** What this machine answers calls with: its model server, or `extractive` in the model's place. */
export function createMachineModels(
  view: () => FleetView,
  machineId: string,
  apiKey: string | undefined,
  /** Told of each answer of the server. */
  onGenerated: (modelId: string, generation: Generation) => void = () => undefined,
): MachineModels {
  const extractive = createExtractiveReflector();
  const key = apiKey === undefined ? {} : { apiKey };
  let made: { url: string; text: TextModel; chat: ChatModel } | undefined;
  /** Pinned models as they were loaded last: the copy that calls name, and the digest it was verified to have. */
  const serves = new Map<string, { digest: string; copy: string }>();
  /** Versions that gave an answer here, and those that gave none while another did, by model and digest. */
  const answered = new Set<string>();
  const failed = new Map<string, { modelId: string; digest: string; reason: string }>();

  function server() {
    const found = view().fleet.machines.find((machine) => machine.id === machineId);
    if (!found) throw new DomainError('MACHINE_UNKNOWN', `fleet.yaml names no machine ${machineId}`);
    const { modelServer } = found;
    return modelServer?.url === undefined
      ? undefined
      : { kind: modelServer.kind, url: modelServer.url, sequences: modelServer.sequences };
  }

  function answersOf(
    at: ReturnType<typeof server>,
    modelId: string,
    loadedTokens: number,
  ): Pick<ModelCall, 'inference' | 'text' | 'chat'> {
    if (!at) return { inference: extractive, text: undefined };
    if (made?.url !== at.url) {
      const { limits } = view().fleet;
      const options = {
        kind: at.kind,
        baseUrl: at.url,
        stallMs: durationSeconds(limits.stallTimeout) * 1000,
        callMs: durationSeconds(limits.callTimeout) * 1000,
        ...key,
      };
      made = { url: at.url, text: createTextModel(options), chat: createChatModel(options) };
    }
    const { text: server, chat: chatServer } = made;
    const chat: ChatModel = {
      chat: (request, watch) =>
        told(modelId, request.model, async (span) => {
          const end = await chatServer.chat(request, watch);
          const { completion_tokens: tokens, prompt_tokens: promptTokens } = end.usage;
          count(span, modelId, { text: '', tokens, promptTokens, finishReason: end.finishReason });
          return end;
        }),
    };
    // Whatever a call is for, it names the context the model stands loaded with: another would load it anew.
    const text: TextModel = {
      generate: (request, watch) =>
        told(modelId, request.model, async (span) => {
          const generation = await server.generate({ ...request, loadedTokens }, watch);
          count(span, modelId, generation);
          return generation;
        }),
    };
    return { inference: createModelReflector(text), text, chat };
  }

  function told<Result>(modelId: string, servedAs: string, call: (span: Span) => Promise<Result>): Promise<Result> {
    const attributes = {
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': servedAs,
      'soulfra.machine': machineId,
    };
    return inSpan(`model ${modelId}`, attributes, call);
  }

  function count(span: Span, modelId: string, generation: Generation): void {
    onGenerated(modelId, generation);
    span.setAttribute('gen_ai.usage.output_tokens', generation.tokens);
    if (generation.promptTokens !== undefined) span.setAttribute('gen_ai.usage.input_tokens', generation.promptTokens);
  }

  function servedAs(modelId: string, kind: ModelCall['kind']) {
    const variant = view().variants.get(modelId);
    if (!variant) throw new DomainError('MODEL_MISSING', `fleet.yaml names no model ${modelId}`);
    return { variant, name: variant.servedAs[kind] ?? variant.id };
  }

  /** Versions of a model that may be served here; undefined: whatever the server has. */
  function acceptedOf(modelId: string, at = server()): readonly string[] | undefined {
    return at && view().variants.get(modelId)?.digests?.[at.kind];
  }

  /** Loads the first accepted version that is there and answers, from a copy that nobody else's pull can change. */
  async function loadVerified(
    at: { url: string },
    modelId: string,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const { variant, name } = servedAs(modelId, 'ollama');
    const options = { signal, ...key };
    const held = await heldModels(at.url, options);
    const candidates = candidatesOf(modelId, { accepted, held });
    const untried = candidates.filter(({ digest }) => !failed.has(`${modelId} ${digest}`));
    const wrong: Array<{ digest: string; err: unknown }> = [];
    for (const candidate of untried.length === 0 ? candidates : untried) {
      try {
        await copyVerified(at.url, candidate, options);
        const model = { id: candidate.copy, contextTokens: loadedContext(variant) };
        if (answered.has(`${modelId} ${candidate.digest}`)) await loadModel(at.url, 'ollama', model, options);
        else await tryModel(at.url, model, options);
      } catch (err) {
        signal.throwIfAborted();
        wrong.push({ digest: candidate.digest, err });
        await unloadModel(at.url, 'ollama', candidate.copy, options).catch((reason: unknown) => {
          // It may never have been loaded, or the server is away: then the next one says so.
          if (!(reason instanceof DomainError)) throw reason;
        });
        continue;
      }
      // It is the version's own fault only where another one answers on the same server.
      for (const { digest, err } of wrong)
        failed.set(`${modelId} ${digest}`, {
          modelId,
          digest,
          reason: err instanceof Error ? err.message : String(err),
        });
      failed.delete(`${modelId} ${candidate.digest}`);
      answered.add(`${modelId} ${candidate.digest}`);
      serves.set(modelId, candidate);
      return;
    }
    serves.delete(modelId);
    if (wrong.length > 0) throw wrong[0]!.err;
    const has = held.find((model) => plainName(model.name) === plainName(name));
    throw new DomainError(
      'MODEL_UNVERIFIED',
      `fleet.yaml wants ${modelId} as ${shortDigest(accepted[0]!)}; the server has ${name} ${has ? `as ${shortDigest(has.digest)}` : 'not at all'}`,
    );
  }

  async function copyVerified(
    url: string,
    { digest, copy, from }: Candidate,
    options: { signal: AbortSignal },
  ): Promise<void> {
    if (from === undefined) return;
    await copyModel(url, { from, to: copy }, options);
    // What it was copied from may have been replaced since it was listed.
    const made = (await heldModels(url, options)).find((model) => model.name === copy);
    if (made?.digest === digest) return;
    await deleteModel(url, copy, options);
    throw new DomainError('MODEL_UNVERIFIED', `${from} was replaced while ${shortDigest(digest)} was copied from it`);
  }

  return {
    callFor(modelId) {
      const at = server();
      const kind = at?.kind ?? 'openai';
      const { variant, name } = servedAs(modelId, kind);
      const accepted = acceptedOf(modelId, at);
      const verified = serves.get(modelId);
      if (accepted && (!verified || !accepted.includes(verified.digest)))
        throw new DomainError('MODEL_UNVERIFIED', `${modelId} is loaded anew, as a version that fleet.yaml names`);
      const called = accepted ? verified!.copy : name;
      return { ...answersOf(at, modelId, loadedContext(variant)), variant, servedAs: called, kind };
    },
    async load(modelId, signal) {
      const at = server();
      if (!at) return;
      const accepted = acceptedOf(modelId, at);
      if (accepted) return loadVerified(at, modelId, accepted, signal);
      serves.delete(modelId);
      const { variant, name } = servedAs(modelId, at.kind);
      await loadModel(at.url, at.kind, { id: name, contextTokens: loadedContext(variant) }, { signal, ...key });
    },
    async unload(modelId, signal) {
      const at = server();
      if (!at || !view().variants.has(modelId)) return true;
      const { name } = servedAs(modelId, at.kind);
      if (at.kind === 'ollama') {
        // Each copy, as an earlier process may have loaded one, or a load that was broken off may go on.
        const state = await probeModelServer(at.url, at.kind, key);
        const copies = state.models.filter(({ id }) => copiedModel(id) === modelId);
        for (const { id } of copies) await unloadModel(at.url, at.kind, id, { signal, ...key });
        if (copies.length > 0 && !state.models.some(({ id }) => plainName(id) === plainName(name))) return true;
      }
      return unloadModel(at.url, at.kind, name, { signal, ...key });
    },
    isStale(modelId) {
      const accepted = acceptedOf(modelId);
      const verified = serves.get(modelId);
      return accepted ? !verified || !accepted.includes(verified.digest) : verified !== undefined;
    },
    isWanted(modelId) {
      const accepted = acceptedOf(modelId);
      return accepted === undefined || serves.get(modelId)?.digest === accepted[0];
    },
    forgive(modelId) {
      for (const [known, each] of failed) if (each.modelId === modelId) failed.delete(known);
    },
    whyNot(modelId) {
      const accepted = acceptedOf(modelId);
      return accepted && failed.get(`${modelId} ${accepted[0]}`)?.reason;
    },
    async fetch(modelId, { signal, onProgress }) {
      const at = server();
      const accepted = acceptedOf(modelId, at);
      if (!at || !accepted) return;
      const wanted = accepted[0]!;
      const options = { signal, ...key };
      const has = async () => (await heldModels(at.url, options)).some(({ digest }) => digest === wanted);
      if (await has()) return;
      const { name } = servedAs(modelId, at.kind);
      await pullModel(at.url, name, { ...options, onProgress });
      if (await has()) return;
      const got = (await heldModels(at.url, options)).find((model) => plainName(model.name) === plainName(name));
      throw new DomainError(
        'MODEL_UNVERIFIED',
        `the registry gives ${name} as ${got ? shortDigest(got.digest) : 'nothing'}; fleet.yaml wants ${shortDigest(wanted)}`,
      );
    },
    async tidy(modelId, signal) {
      const at = server();
      const accepted = acceptedOf(modelId, at);
      if (!at || !accepted) return;
      const held = await heldModels(at.url, { signal, ...key });
      for (const copy of staleCopies(modelId, { accepted, held })) await deleteModel(at.url, copy, { signal, ...key });
    },
    async report() {
      const at = server();
      if (!at) return undefined;
      const held = at.kind === 'ollama' ? await heldModels(at.url, key).catch(unanswered) : null;
      return {
        held,
        serves: [...serves].map(([modelId, { digest }]) => ({ modelId, digest })),
        failed: [...failed.values()],
      };
    },
    async holds() {
      const at = server();
      if (!at) return { gib: 0, modelIds: [] };
      const state = await probeModelServer(at.url, at.kind, key);
      if (!state.up) return undefined;
      const loaded = state.models.filter((model) => model.loaded);
      const variantsOf = (served: string) =>
        [...view().variants.values()].filter(
          ({ id, servedAs }) => copiedModel(served) === id || plainName(servedAs[at.kind] ?? id) === plainName(served),
        );
      const gib = loaded.reduce((sum, { id, vramGiB }) => {
        if (at.kind === 'ollama') return sum + (vramGiB ?? 0);
        const [variant] = variantsOf(id);
        if (variant === undefined) return sum;
        const { fixedGiB, sequenceGiB } = footprint(variant);
        return sum + fixedGiB + at.sequences * sequenceGiB;
      }, 0);
      return { gib, modelIds: loaded.flatMap(({ id }) => variantsOf(id).map((variant) => variant.id)) };
    },
    async probe() {
      const at = server();
      return at ? probeModelServer(at.url, at.kind, key) : { up: true };
    },
    async probeServer() {
      const at = server();
      return at ? probeModelServer(at.url, at.kind, key) : null;
    },
  };
}
