import type { Span } from '@opentelemetry/api';
import type { ModelCall } from '../activities/machine-calls.ts';
import type { FleetView } from '../activities/fleet-view.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import type { FleetMachine } from '../domain/fleet.ts';
import { copiedModel } from '../domain/model-manifest.ts';
import type { RunsAs } from '../domain/states.ts';
import { type ChatModel, createChatModel } from '../integrations/inference/chat.ts';
import { footprint, loadedContext } from '../domain/vram.ts';
import { createExtractiveReflector } from '../integrations/inference/extractive.ts';
import type { Generation, TextModel } from '../integrations/inference/inference.ts';
import { createModelReflector, createTextModel } from '../integrations/inference/model-reflector.ts';
import {
  loadModel,
  type ModelServerState,
  probeModelServer,
  unloadModel,
} from '../integrations/inference/model-server-probe.ts';
import { inSpan } from '../observability/tracing.ts';
import type { ModelLoader } from './inference-pool.ts';
import { createModelVersions, type ModelVersions, plainName } from './model-versions.ts';

/** A server that is busy answers late, and what it holds takes memory meanwhile. */
const listMs = 10_000;

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

export interface MachineModels extends ModelLoader {
  /** Undefined: the server does not answer, and what it holds is not known. */
  holds(): Promise<ServerMemory | undefined>;
  callFor(modelId: string): ModelCall;
  /** Whether the model server answers; a simulated machine always does. */
  probe(): Promise<Pick<ModelServerState, 'up' | 'reason'>>;
  /** What the model server says of itself; null on a simulated machine. */
  probeServer(): Promise<ModelServerState | null>;
  /** Which weights it serves. */
  versions: ModelVersions;
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
  const versions = createModelVersions({ view, server, apiKey });

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

  return {
    callFor(modelId) {
      const at = server();
      const kind = at?.kind ?? 'openai';
      const { variant, name } = servedAs(modelId, kind);
      const called = versions.copyOf(modelId) ?? name;
      return { ...answersOf(at, modelId, loadedContext(variant)), variant, servedAs: called, kind };
    },
    async load(modelId, signal) {
      const at = server();
      if (!at) return;
      if (await versions.load(modelId, signal)) return;
      const { variant, name } = servedAs(modelId, at.kind);
      await loadModel(at.url, at.kind, { id: name, contextTokens: loadedContext(variant) }, { signal, ...key });
    },
    async unload(modelId, signal) {
      const at = server();
      if (!at || !view().variants.has(modelId)) return true;
      const { name } = servedAs(modelId, at.kind);
      if (at.kind === 'ollama') {
        // Each copy, as an earlier process may have loaded one, or a load that was broken off may go on.
        const state = await probeModelServer(at.url, at.kind, { timeoutMs: listMs, ...key });
        // Which copies it has is not known then: one may be in memory.
        if (!state.up) throw new DomainError('MODEL_SERVER_DOWN', state.reason ?? 'the model server does not answer');
        const copies = state.models.filter(({ id }) => copiedModel(id) === modelId);
        for (const { id } of copies) await unloadModel(at.url, at.kind, id, { signal, ...key });
        if (copies.length > 0 && !state.models.some(({ id }) => plainName(id) === plainName(name))) return true;
      }
      return unloadModel(at.url, at.kind, name, { signal, ...key });
    },
    isStale: versions.isStale,
    versions,
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
