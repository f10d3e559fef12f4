/** What a machine does right now, as its worker shows it in Redis. */
export interface Presence {
  /** Calls that run on its model server. */
  running: number;
  sequences: number;
  polls: string[];
  /** Models that left memory because nothing called them; the next call has them loaded again. */
  idle: Array<{ modelId: string; since: string }>;
  at: string;
}

export function presenceKey(machineId: string): string {
  return `soulfra:presence:${machineId}`;
}
