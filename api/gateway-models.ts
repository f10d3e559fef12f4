import { embeddingModelOf } from '../domain/embeddings.ts';
import { DomainError } from '../domain/errors.ts';
import { type Fleet, type ModelVariant, modelVariants } from '../domain/fleet.ts';
import { type GatewayNames, gatewayNames } from '../domain/gateway.ts';
import { queueOf } from '../domain/vram.ts';
import type { Database } from '../stores/database.ts';
import { createFleetStore } from '../stores/fleets.ts';
import { createPlanStore } from '../stores/plans.ts';

/** What is read of the fleet for one request may be this old. */
const keptMs = 1_000;

export interface GatewayView {
  ownerId: string;
  fleet: Fleet;
  names: GatewayNames;
  variants: ReadonlyMap<string, ModelVariant>;
  queueOf: (modelId: string) => string;
  /** @throws MODEL_UNSERVED where it is certain that no machine will answer */
  assertServed: (modelId: string) => void;
}

/** The models of the fleet as services name them, read anew every second at the most. */
export function createGatewayModels(db: Database) {
  const fleets = createFleetStore(db);
  const plans = createPlanStore(db);
  let known: { version: number; ownerId: string; fleet: Fleet; variants: ModelVariant[] } | undefined;
  let view: GatewayView | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<GatewayView> | undefined;

  async function read(): Promise<GatewayView> {
    const version = await fleets.currentVersion();
    if (version === undefined) throw new DomainError('UNAVAILABLE', 'no fleet.yaml has been applied yet');
    if (known?.version !== version) {
      const stored = await fleets.byVersion(version);
      if (!stored) throw new DomainError('INTERNAL', `fleet version ${version} is gone`);
      known = { version, ownerId: stored.ownerId, fleet: stored.fleet, variants: modelVariants(stored.fleet) };
    }
    const { ownerId, fleet, variants } = known;
    // Asked before the plan is read: a plan computed in between must not look as if nothing were coming.
    const replanning = await plans.replanning();
    const current = await plans.residency();
    const holders = new Map<string, string[]>();
    for (const { machineId, models } of current?.machines ?? [])
      for (const { modelId } of models) holders.set(modelId, [...(holders.get(modelId) ?? []), machineId]);
    const serving = new Set(
      fleet.machines.filter(({ modelServer }) => modelServer?.url !== undefined).map(({ id }) => id),
    );
    return {
      ownerId,
      fleet,
      names: gatewayNames(fleet, variants, {
        embedding: embeddingModelOf(fleet.embeddings),
        held: new Set([...holders].filter(([, machines]) => machines.some((id) => serving.has(id))).map(([id]) => id)),
      }),
      variants: new Map(variants.map((variant) => [variant.id, variant])),
      queueOf: (modelId) => queueOf(variants.find(({ id }) => id === modelId)!),
      assertServed(modelId) {
        if (!current || replanning) return;
        const machines = holders.get(modelId) ?? [];
        if (machines.length === 0)
          throw new DomainError(
            'MODEL_UNSERVED',
            `the plan keeps ${modelId} on no machine: ${current.unserved[modelId] ?? 'no agent uses it, and no service of fleet.d names it under models'}`,
          );
        if (!machines.some((id) => serving.has(id)))
          throw new DomainError(
            'MODEL_UNSERVED',
            `the machines that hold ${modelId} have no model server: ${machines.join(', ')}`,
          );
      },
    };
  }

  return async (): Promise<GatewayView> => {
    if (view && performance.now() - readAt < keptMs) return view;
    reading ??= read()
      .then((found) => {
        readAt = performance.now();
        view = found;
        return found;
      })
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
}
