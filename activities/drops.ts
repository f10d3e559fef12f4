import type { DropState } from '../domain/states.ts';
import type { DropTurn, PublishingStore } from '../stores/publishing.ts';

export type { OpenDeliveryRef } from '../stores/publishing.ts';

export interface DropDeps {
  publishing: PublishingStore;
}

export function createDropActivities({ publishing }: DropDeps) {
  return {
    async beginPublishing({ dropId, deliveryId }: { dropId: string; deliveryId?: string }): Promise<DropTurn> {
      return publishing.beginPublishing(dropId, deliveryId);
    },
    async endPublishing({ dropId }: { dropId: string }): Promise<{ state: DropState }> {
      return { state: await publishing.endPublishing(dropId) };
    },
  };
}
export type DropActivities = ReturnType<typeof createDropActivities>;
