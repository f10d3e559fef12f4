import type { FleetGpu } from './fleet.ts';

/** A card as the host's own probe sees it. */
export interface SeenGpu {
  index: number;
  name: string;
  memoryTotalMiB: number | null;
}

/** Cards report a little less than their nominal size; what is missing beyond this would be planned for in vain. */
const toleranceGiB = 1;

/** Where the cards of this host fall short of what fleet.yaml declares, in plain words; empty where they do. */
export function gpuShortfalls(
  declared: ReadonlyArray<Pick<FleetGpu, 'name' | 'vramGiB'>>,
  seen: readonly SeenGpu[],
): string[] {
  return declared.flatMap((gpu, index) => {
    const card = seen[index];
    if (!card) return [`GPU ${index} (${gpu.name}) is declared, but nvidia-smi shows ${seen.length}`];
    if (card.memoryTotalMiB === null) return [];
    const gib = card.memoryTotalMiB / 1024;
    return gib < gpu.vramGiB - toleranceGiB
      ? [`GPU ${index} is declared with ${gpu.vramGiB} GiB, ${card.name} has ${gib.toFixed(1)}`]
      : [];
  });
}
