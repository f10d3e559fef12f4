import { z } from 'zod';

/**
 * Which weights a model is served with. fleet.yaml names digests; a machine serves a model that has one only from a copy of its own, which
 * is named by the digest: what somebody pulls under the usual name meanwhile changes nothing that is served.
 */

/** As Ollama shows it: of the model's manifest, which names every layer by its own digest. */
const digestSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits in lower case, without `sha256:`');

/** Only Ollama tells what it serves; the others serve what they were started with. */
export const digestsSchema = z.strictObject({
  ollama: z.array(digestSchema).min(1).max(8),
});

export const plainDigest = (digest: string) => digest.replace(/^sha256:/, '');
export const shortDigest = (digest: string) => plainDigest(digest).slice(0, 12);

const copies = 'soulfra/';

/** The name of a machine's own copy of a version. */
export function copyName(modelId: string, digest: string): string {
  return `${copies}${modelId}:${shortDigest(digest)}`;
}

/** The model that a name of ours is a copy of. */
export function copiedModel(name: string): string | undefined {
  return /^soulfra\/([a-z0-9_]+):[0-9a-f]{12}$/.exec(name)?.[1];
}

/** What a model server has on its disk. */
export interface HeldModel {
  name: string;
  digest: string;
  bytes: number;
}

/** A version that can be served, and what it is copied from. */
export interface Candidate {
  digest: string;
  copy: string;
  /** Undefined: the copy is there already. */
  from?: string;
}

/** Of the accepted versions those that the server has, the wanted one first. */
export function candidatesOf(
  modelId: string,
  { accepted, held }: { accepted: readonly string[]; held: readonly HeldModel[] },
): Candidate[] {
  return accepted.flatMap((digest): Candidate[] => {
    const copy = copyName(modelId, digest);
    const having = held.filter((model) => plainDigest(model.digest) === digest);
    if (having.some(({ name }) => name === copy)) return [{ digest, copy }];
    return having[0] === undefined ? [] : [{ digest, copy, from: having[0].name }];
  });
}

/** Copies of versions that are accepted no more. */
export function staleCopies(
  modelId: string,
  { accepted, held }: { accepted: readonly string[]; held: readonly HeldModel[] },
): string[] {
  const kept = new Set(accepted.map((digest) => copyName(modelId, digest)));
  return held.map(({ name }) => name).filter((name) => copiedModel(name) === modelId && !kept.has(name));
}

/** How a machine's version of a model stands to fleet.yaml. */
export const versionStates = [
  /** The wanted version, verified. */
  'verified',
  /** Another one that is accepted, verified: the machine waits for `models sync`. */
  'behind',
  /** fleet.yaml names no digest, or the server is of a kind that tells none. */
  'unpinned',
  /** It has no version that is accepted and gives an answer, and serves none. */
  'refused',
  /** The machine has not said what it has. */
  'unknown',
] as const;
export type VersionState = (typeof versionStates)[number];

/** What a machine says of its models. */
export interface ModelReport {
  /** By its model server, where that tells digests; null: it did not answer, or does not. */
  held: HeldModel[] | null;
  /** Of pinned models those that are served, by digest. */
  serves: Array<{ modelId: string; digest: string }>;
  /** Versions that were tried here and gave no answer. */
  failed: Array<{ modelId: string; digest: string; reason: string }>;
}

export interface ModelVersion {
  state: VersionState;
  /** Served now; of an unpinned model what the server has by its usual name. */
  digest: string | null;
  bytes: number | null;
  /** Why the wanted version is not served, or none is, where it was tried. */
  reason: string | null;
}

/** How one machine stands with one model. */
export function modelVersion(
  { id, servedAs, accepted }: { id: string; servedAs: string; accepted: readonly string[] | undefined },
  report: ModelReport | undefined,
): ModelVersion {
  const named = (name: string) => name.replace(/:latest$/, '');
  const usual = report?.held?.find(({ name }) => named(name) === named(servedAs));
  if (accepted === undefined)
    return {
      state: 'unpinned',
      digest: usual ? plainDigest(usual.digest) : null,
      bytes: usual?.bytes ?? null,
      reason: null,
    };
  if (report === undefined) return { state: 'unknown', digest: null, bytes: null, reason: null };
  const serves = report.serves.find(({ modelId }) => modelId === id);
  const failedAs = (version: string) =>
    report.failed.find(({ modelId, digest }) => modelId === id && digest === version)?.reason;
  const reason = failedAs(accepted[0]!) ?? null;
  if (serves && accepted.includes(serves.digest)) {
    const bytes = report.held?.find(({ digest }) => plainDigest(digest) === serves.digest)?.bytes ?? null;
    return { state: serves.digest === accepted[0] ? 'verified' : 'behind', digest: serves.digest, bytes, reason };
  }
  if (report.held === null) return { state: 'unknown', digest: null, bytes: null, reason };
  // What is not loaded now may still be there: an idle model, or one that is loaded at the moment.
  const candidates = candidatesOf(id, { accepted, held: report.held });
  const there = candidates.find(({ digest }) => failedAs(digest) === undefined);
  if (there === undefined)
    return {
      state: 'refused',
      digest: usual ? plainDigest(usual.digest) : null,
      bytes: usual?.bytes ?? null,
      reason:
        reason ??
        (candidates[0] && failedAs(candidates[0].digest)) ??
        (usual ? 'what it has is another version' : 'it does not have the model'),
    };
  const bytes = report.held.find(({ digest }) => plainDigest(digest) === there.digest)?.bytes ?? null;
  return { state: there.digest === accepted[0] ? 'verified' : 'behind', digest: there.digest, bytes, reason };
}

/** How one machine came out of a sync. */
export const syncOutcomes = [
  /** It serves the wanted version, and did not before. */
  'brought',
  /** It served it already. */
  'unchanged',
  /** The wanted version gave no answer, or could not be had: the machine serves the one before. */
  'returned',
  /** It serves no version at all. */
  'refused',
  /** It was begun and did not come to its end. */
  'failed',
  /** Nothing was tried there to its end: its worker did not answer, or it serves no models now. */
  'unreachable',
  /** Another machine did not come to the version. */
  'skipped',
] as const;
export type SyncOutcome = (typeof syncOutcomes)[number];

export interface SyncStep {
  machineId: string;
  modelId: string;
  outcome: SyncOutcome;
  reason: string;
}

/** Whether a version that came out so on one machine is kept from the others. */
export const stopsVersion = ({ outcome }: Pick<SyncStep, 'outcome'>) =>
  outcome === 'returned' || outcome === 'refused' || outcome === 'failed';

/** Whether the machine is not at its version now. */
export const syncFailed = ({ outcome }: Pick<SyncStep, 'outcome'>) => outcome !== 'brought' && outcome !== 'unchanged';

/**
 * The manifest entry after a pin: what the machines hold, the given machine's first; versions that others hold stay accepted, so
 * that they go on until they are brought along.
 */
export function pinnedDigests(
  holds: ReadonlyArray<{ machineId: string; digest: string }>,
  from: string | undefined,
): { digests: string[] } | { differ: Array<{ machineId: string; digest: string }> } {
  const all = [...new Set(holds.map(({ digest }) => digest))];
  if (from === undefined) return all.length > 1 ? { differ: [...holds] } : { digests: all };
  const first = holds.find(({ machineId }) => machineId === from)?.digest;
  if (first === undefined) return { digests: [] };
  return { digests: [first, ...all.filter((digest) => digest !== first)] };
}
