import { hostname } from 'node:os';
import { DomainError } from '../domain/errors.ts';
import {
  type Fleet,
  fleetAgents,
  type FleetGpu,
  type FleetMachine,
  type FleetModel,
  modelVariants,
} from '../domain/fleet.ts';
import { footprint } from '../domain/vram.ts';
import { findOllama, type InstalledModel } from '../integrations/inference/model-server-probe.ts';
import { ollamaModelShape } from '../integrations/inference/ollama-shape.ts';
import { expectedRate, gpusOfThisHost } from './model-servers.ts';

/** A reflection reads tens of memories: more context than this only costs memory. */
const mostContext = 4096;
/** Ollama serves this many at once unless told otherwise. */
const ollamaSequences = 2;
/** Ollama's default is one model copy; a second sequence costs each about this. */
const slowdown = 0.3;
/** Of a card for the model server; a model must fit on one. */
const smallestClass = '8g';

export interface Offer {
  server: 'ollama';
  url: string;
  /** As Ollama calls it. */
  name: string;
  fileGiB: number;
  /** Model of fleet.yaml that says it is served under this name. */
  fleetModelId: string | null;
  /** Model that `models use` would give agents. */
  modelId: string;
  tokensPerSecond: number;
  /** One agent's reflection, after its median of expected tokens. */
  secondsPerAgent: number;
  basis: 'estimated from the card and the size of the file';
}

export interface Offers {
  machineId: string;
  gpus: FleetGpu[];
  offers: Offer[];
}

function thisMachineId(fleet: Fleet): string {
  const here = hostname().toLowerCase();
  const known = fleet.machines.find((machine) => (machine.host ?? machine.id).toLowerCase() === here);
  if (known) return known.id;
  const slug = here
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '')
    .slice(0, 50);
  const wanted = slug === '' ? 'here' : slug;
  return fleet.machines.some((machine) => machine.id === wanted) ? `${wanted}-here` : wanted;
}

/** What an Ollama of this host has installed, and what it would take; empty where there is none. Nothing is pulled. */
export async function offersOf(fleet: Fleet, ollamaUrl: string | undefined): Promise<Offers> {
  const machineId = thisMachineId(fleet);
  const declared = fleet.machines.find((machine) => machine.id === machineId);
  const gpus = declared && declared.gpus.length > 0 ? declared.gpus : await gpusOfThisHost();
  const found = await findOllama(ollamaUrl === undefined ? {} : { url: ollamaUrl });
  const offers = (found?.models ?? []).map((model) => offerOf(fleet, machineId, gpus[0]!, found!.url, model));
  return { machineId, gpus, offers };
}

function offerOf(fleet: Fleet, machineId: string, gpu: FleetGpu, url: string, model: InstalledModel): Offer {
  const served = modelVariants(fleet).filter((variant) => variant.servedAs.ollama === model.name);
  const own = served.find((variant) => variant.model.machines?.includes(machineId));
  const rate = own?.rates[gpu.class]?.tokensPerSecond ?? expectedRate(fleet, gpu, model.fileGiB);
  const tokens = fleetAgents(fleet)
    .map((agent) => agent.expectedTokens)
    .sort((a, b) => a - b);
  const median = tokens[tokens.length >> 1] ?? 400;
  return {
    server: 'ollama',
    url,
    name: model.name,
    fileGiB: Math.round(model.fileGiB * 100) / 100,
    fleetModelId: served[0]?.id ?? null,
    modelId: own?.id ?? `${ownModelId(model.name)}_installed`,
    tokensPerSecond: rate,
    secondsPerAgent: Math.round((median / rate) * 10) / 10,
    basis: 'estimated from the card and the size of the file',
  };
}

function ownModelId(name: string): string {
  return `ollama_${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')}`.slice(0, 50).replace(/_+$/, '');
}

export interface UseOllama {
  fleet: Fleet;
  ollamaUrl: string | undefined;
  /** How many agents it shall serve; those it served beyond that go back to their archetype's model. */
  agents: number;
  /** As Ollama calls it; default: the fastest one that fits. */
  model: string | undefined;
}

/** The fleet with this host's Ollama as one of its machines, serving so many agents. */
export async function fleetUsingOllama(
  input: UseOllama,
): Promise<{ fleet: Fleet; machineId: string; offer: Offer; added: boolean }> {
  const { fleet } = input;
  const { machineId, gpus, offers } = await offersOf(fleet, input.ollamaUrl);
  const offer = choose(offers, input.model, gpus);
  const variants = modelVariants(fleet);
  const models = variants.some((variant) => variant.id === offer.modelId)
    ? fleet.models
    : [...fleet.models, await ownModel(offer, machineId, gpus[0]!)];
  const known = fleet.machines.find((machine) => machine.id === machineId);
  const machine: FleetMachine = {
    ...(known ?? {
      id: machineId,
      labels: [],
      roles: {},
      ...(machineId === hostname().toLowerCase() ? {} : { host: hostname() }),
    }),
    gpus: known && known.gpus.length > 0 ? known.gpus : gpus,
    modelServer: { kind: 'ollama', url: offer.url, sequences: known?.modelServer?.sequences ?? ollamaSequences },
  };
  const machines = known
    ? fleet.machines.map((other) => (other.id === machineId ? machine : other))
    : [...fleet.machines, machine];
  const next = { ...fleet, machines, models, agents: overrides(fleet, offer.modelId, input.agents) };
  return { fleet: next, machineId, offer, added: known === undefined };
}

function choose(offers: readonly Offer[], model: string | undefined, gpus: readonly FleetGpu[]): Offer {
  if (offers.length === 0) {
    throw new DomainError('MODEL_SERVER_DOWN', 'no Ollama with an installed model answers on this host');
  }
  if (model !== undefined) {
    const named = offers.find((offer) => offer.name === model);
    if (named) return named;
    const names = offers.map((offer) => offer.name).join(', ');
    throw new DomainError('MODEL_MISSING', `Ollama has no ${model}; installed: ${names}`);
  }
  const room = Math.max(...gpus.map((gpu) => gpu.vramGiB - gpu.reserveGiB));
  // Embedding models are small and write no text; what is under half a GiB is left to be named by hand.
  const fitting = offers.filter((offer) => offer.fileGiB * 1.15 + 0.75 <= room && offer.fileGiB >= 0.5);
  const best = fitting.toSorted((a, b) => a.secondsPerAgent - b.secondsPerAgent)[0];
  if (!best) throw new DomainError('MODEL_MISSING', 'no installed model fits this host; name one with --model');
  return best;
}

async function ownModel(offer: Offer, machineId: string, gpu: FleetGpu): Promise<FleetModel> {
  const shape = await ollamaModelShape(offer.url, offer.name);
  const context = Math.max(512, Math.min(mostContext, shape.contextTokens));
  const { contextTokens: _context, ...attention } = shape;
  const model: FleetModel = {
    id: offer.modelId.replace(/_installed$/, ''),
    ...attention,
    family: shape.family.slice(0, 60),
    context: { reflect: context, talk: context },
    machines: [machineId],
    quantisations: {
      installed: {
        fileGiB: Math.max(0.01, offer.fileGiB),
        rates: { [gpu.class]: { tokensPerSecond: offer.tokensPerSecond, slowdown } },
        servedAs: { ollama: offer.name },
      },
    },
  };
  const { fixedGiB, sequenceGiB } = footprint({ model, fileGiB: offer.fileGiB });
  if (fixedGiB + sequenceGiB > gpu.vramGiB - gpu.reserveGiB) {
    throw new DomainError(
      'CONFLICT',
      `${offer.name} needs ${(fixedGiB + sequenceGiB).toFixed(1)} GiB, ${gpu.name} has less`,
    );
  }
  return model;
}

/** The first agents by id get the model by an override each; nobody else's archetype is touched. */
function overrides(fleet: Fleet, modelId: string, count: number): Fleet['agents'] {
  const all = fleetAgents(fleet);
  const users = all.filter((agent) => agent.override?.model === modelId).map((agent) => agent.id);
  const others = all.filter((agent) => agent.override?.model === undefined).map((agent) => agent.id);
  const chosen = new Set([...users, ...others].slice(0, count));
  if (chosen.size < count) throw new DomainError('CONFLICT', `there are only ${chosen.size} agents to give it to`);
  const agents = { ...fleet.agents };
  for (const id of chosen) {
    agents[id] = { ...agents[id], model: modelId, leastClass: smallestClass, mayDegrade: false };
  }
  for (const id of users) {
    if (chosen.has(id)) continue;
    const { model: _model, leastClass: _least, mayDegrade: _may, ...rest } = agents[id]!;
    if (Object.keys(rest).length > 0) agents[id] = rest;
    else delete agents[id];
  }
  return agents;
}
