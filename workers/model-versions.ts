import type { FleetView } from '../activities/fleet-view.ts';
import { DomainError } from '../domain/errors.ts';
import type { ModelServerKind } from '../domain/fleet.ts';
import {
  type Candidate,
  candidatesOf,
  type HeldModel,
  type ModelReport,
  shortDigest,
  staleCopies,
} from '../domain/model-manifest.ts';
import { loadedContext } from '../domain/vram.ts';
import { loadModel, unloadModel } from '../integrations/inference/model-server-probe.ts';
import { copyModel, deleteModel, heldModels, pullModel, tryModel } from '../integrations/inference/ollama-models.ts';

/** Ollama knows a model by its name with and without the usual tag. */
export const plainName = (name: string) => name.replace(/:latest$/, '');

interface Failed {
  modelId: string;
  digest: string;
  reason: string;
}

export type ModelVersions = ReturnType<typeof createModelVersions>;

/** Which weights this machine serves its models with: of a pinned one a copy of its own that was verified, and answers. */
export function createModelVersions({
  view,
  server,
  apiKey,
}: {
  view: () => FleetView;
  /** Of this machine; undefined: it is simulated. */
  server: () => { kind: ModelServerKind; url: string } | undefined;
  apiKey: string | undefined;
}) {
  const key = apiKey === undefined ? {} : { apiKey };
  /** Pinned models as they were loaded last: the copy that calls name, and the digest it was verified to have. */
  const serves = new Map<string, { digest: string; copy: string }>();
  /** Versions that gave an answer here, and those that gave none while another did. */
  const answered = new Set<string>();
  const failed = new Map<string, Failed>();
  /** Those that gave none at the last load of their model, as no other did: the server's fault as likely as theirs. */
  const unanswered = new Map<string, Failed>();
  /** What was served last of each model, whether or not it is loaded now. */
  const kept = new Map<string, string>();
  /** Models whose wanted version a sync asks for now: applied alone it moves no machine. */
  const asked = new Set<string>();
  const versionKey = (modelId: string, digest: string) => `${modelId} ${digest}`;

  /** Where a model is pinned: its server, and what may be served. */
  function pinned(modelId: string) {
    const at = server();
    const variant = view().variants.get(modelId);
    const accepted = at && variant?.digests?.[at.kind];
    if (!at || !variant || !accepted) return undefined;
    return { url: at.url, variant, accepted, wanted: accepted[0]!, name: variant.servedAs[at.kind] ?? variant.id };
  }

  /** Gives a version the name of ours, and loads it by that. */
  async function loadCopy(
    { url, variant }: NonNullable<ReturnType<typeof pinned>>,
    { digest, copy, from }: Candidate,
    signal: AbortSignal,
  ): Promise<void> {
    const options = { signal, ...key };
    if (from !== undefined) await copyModel(url, { from, to: copy }, options);
    const model = { id: copy, contextTokens: loadedContext(variant) };
    if (answered.has(versionKey(variant.id, digest))) await loadModel(url, 'ollama', model, options);
    else await tryModel(url, model, options);
    // What it was copied from, or the copy itself, may have been replaced since it was listed.
    const made = (await heldModels(url, options)).find(({ name }) => name === copy);
    if (made?.digest === digest) return;
    throw new DomainError('MODEL_UNVERIFIED', `${shortDigest(digest)} was replaced while it was loaded`);
  }

  async function unloadCopy(url: string, copy: string, signal: AbortSignal): Promise<void> {
    try {
      await unloadModel(url, 'ollama', copy, { signal, ...key });
    } catch (err) {
      // It may never have been loaded, or the server is away: then the next one says so.
      if (!(err instanceof DomainError)) throw err;
    }
  }

  function forget(modelId: string, versions: Map<string, Failed>): void {
    for (const [known, each] of versions) if (each.modelId === modelId) versions.delete(known);
  }

  function isStale(modelId: string): boolean {
    const at = pinned(modelId);
    const served = serves.get(modelId);
    return at ? !served || !at.accepted.includes(served.digest) : served !== undefined;
  }

  return {
    /**
     * Loads the first accepted version that is there and answers, from a copy that nobody else's pull can change. What was served
     * before comes first of all, unless a sync asks for the wanted one.
     * @returns false where the model is not pinned
     */
    async load(modelId: string, signal: AbortSignal): Promise<boolean> {
      const at = pinned(modelId);
      if (!at) {
        serves.delete(modelId);
        kept.delete(modelId);
        forget(modelId, unanswered);
        return false;
      }
      const { url, accepted, wanted, name } = at;
      const held = await heldModels(url, { signal, ...key });
      const first = asked.has(modelId) ? wanted : kept.get(modelId);
      const candidates = candidatesOf(modelId, { accepted, held }).toSorted(
        (a, b) => Number(b.digest === first) - Number(a.digest === first),
      );
      const untried = candidates.filter(({ digest }) => !failed.has(versionKey(modelId, digest)));
      const wrong: Array<{ failure: Failed; err: unknown }> = [];
      for (const candidate of untried.length === 0 ? candidates : untried) {
        const { digest, copy } = candidate;
        try {
          await loadCopy(at, candidate, signal);
        } catch (err) {
          signal.throwIfAborted();
          wrong.push({ failure: { modelId, digest, reason: err instanceof Error ? err.message : String(err) }, err });
          await unloadCopy(url, copy, signal);
          continue;
        }
        // It is the version's own fault only where another one answers on the same server.
        for (const { failure } of wrong) failed.set(versionKey(modelId, failure.digest), failure);
        forget(modelId, unanswered);
        failed.delete(versionKey(modelId, digest));
        answered.add(versionKey(modelId, digest));
        serves.set(modelId, { digest, copy });
        kept.set(modelId, digest);
        return true;
      }
      serves.delete(modelId);
      forget(modelId, unanswered);
      for (const { failure } of wrong) unanswered.set(versionKey(modelId, failure.digest), failure);
      if (wrong.length > 0) throw wrong[0]!.err;
      const has = held.find((model) => plainName(model.name) === plainName(name));
      throw new DomainError(
        'MODEL_UNVERIFIED',
        `fleet.yaml wants ${modelId} as ${shortDigest(wanted)}; the server has ${name} ${has ? `as ${shortDigest(has.digest)}` : 'not at all'}`,
      );
    },

    /** What calls of a pinned model name; undefined: it is not pinned. */
    copyOf(modelId: string): string | undefined {
      if (!pinned(modelId)) return undefined;
      const served = serves.get(modelId);
      if (!served || isStale(modelId))
        throw new DomainError('MODEL_UNVERIFIED', `${modelId} is loaded anew, as a version that fleet.yaml names`);
      return served.copy;
    },

    /** Whether what was loaded last may be served no more. */
    isStale,

    /** Whether it serves the wanted version of a model, or fleet.yaml names none. */
    isWanted(modelId: string): boolean {
      const at = pinned(modelId);
      return !at || serves.get(modelId)?.digest === at.wanted;
    },

    /** The next load takes the wanted version where that answers, also if it gave no answer before. */
    ask(modelId: string): void {
      asked.add(modelId);
      forget(modelId, failed);
    },

    /** What was asked for and is not served yet is asked for no more. */
    endAsking(modelId: string): void {
      asked.delete(modelId);
    },

    /** Why the wanted version is not served, where it was tried. */
    whyNot(modelId: string): string | undefined {
      const at = pinned(modelId);
      if (!at) return undefined;
      const version = versionKey(modelId, at.wanted);
      return (unanswered.get(version) ?? failed.get(version))?.reason;
    },

    /** Has the wanted version on the disk, from the registry where it is not there; nothing that is served changes. */
    async fetch(
      modelId: string,
      { signal, onProgress }: { signal: AbortSignal; onProgress: (status: string) => void },
    ): Promise<void> {
      const at = pinned(modelId);
      if (!at) return;
      const { url, wanted, name } = at;
      const options = { signal, ...key };
      const has = (held: readonly HeldModel[]) => held.some(({ digest }) => digest === wanted);
      if (has(await heldModels(url, options))) return;
      await pullModel(url, name, { ...options, onProgress });
      const held = await heldModels(url, options);
      if (has(held)) return;
      const got = held.find((model) => plainName(model.name) === plainName(name));
      throw new DomainError(
        'MODEL_UNVERIFIED',
        `the registry gives ${name} as ${got ? shortDigest(got.digest) : 'nothing'}; fleet.yaml wants ${shortDigest(wanted)}`,
      );
    },

    /** Deletes the machine's own copies of versions that are accepted no more. */
    async tidy(modelId: string, signal: AbortSignal): Promise<void> {
      const at = pinned(modelId);
      if (!at) return;
      const options = { signal, ...key };
      const held = await heldModels(at.url, options);
      for (const copy of staleCopies(modelId, { accepted: at.accepted, held }))
        await deleteModel(at.url, copy, options);
    },

    /** Looks what the server has; a copy that is not any more what was verified is stale from now on. Undefined: simulated. */
    async report(): Promise<ModelReport | undefined> {
      const at = server();
      if (!at) return undefined;
      const before = [...serves];
      const held = at.kind === 'ollama' ? await heldModels(at.url, key).catch(away) : null;
      for (const [modelId, served] of before) {
        if (held === null || held.some(({ name, digest }) => name === served.copy && digest === served.digest))
          continue;
        // What was loaded meanwhile was looked at then.
        if (serves.get(modelId) === served) serves.delete(modelId);
      }
      return {
        held,
        serves: [...serves].map(([modelId, { digest }]) => ({ modelId, digest })),
        failed: [...new Map([...failed, ...unanswered]).values()],
      };
    },
  };
}

/** A server that is away is told of by its probe. */
function away(err: unknown): null {
  if (err instanceof DomainError) return null;
  throw err;
}
