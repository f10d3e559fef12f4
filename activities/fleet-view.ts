import { DomainError } from '../domain/errors.ts';
import { type Fleet, type ModelVariant, modelVariants } from '../domain/fleet.ts';
import { queueOf } from '../domain/vram.ts';
import type { FleetStore, FleetVersion } from '../stores/fleets.ts';

/** The applied fleet with what is looked up in it all the time. */
export interface FleetView {
  version: number;
  ownerId: string;
  fleet: Fleet;
  variants: ReadonlyMap<string, ModelVariant>;
  /** Queue of each model. */
  queues: ReadonlyMap<string, string>;
}

function fleetView({ version, ownerId, fleet }: FleetVersion): FleetView {
  const variants = modelVariants(fleet);
  return {
    version,
    ownerId,
    fleet,
    variants: new Map(variants.map((variant) => [variant.id, variant])),
    queues: new Map(variants.map((variant) => [variant.id, queueOf(variant)])),
  };
}

/** Reads the applied fleet, and only its version number while that has not changed. */
export function createFleetReader(fleets: FleetStore) {
  let known: FleetView | undefined;
  return async (): Promise<FleetView> => {
    const version = await fleets.currentVersion();
    if (version === undefined) throw new DomainError('UNAVAILABLE', 'no fleet.yaml has been applied yet');
    if (known?.version !== version) {
      const stored = await fleets.byVersion(version);
      if (!stored) throw new DomainError('INTERNAL', `fleet version ${version} is gone`);
      known = fleetView(stored);
    }
    return known;
  };
}
export type FleetReader = ReturnType<typeof createFleetReader>;
