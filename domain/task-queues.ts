import type { ChannelKindName } from './channel-kinds.ts';

/** Every task-queue name is made here. `[a-z0-9_]` only: server metrics replace all else, and joins on the name would break. */
export const coordinationQueue = 'coordination';

/** Polled by workers beside the data of a fleet that `npm start` runs: nobody else can back it up. */
export const backupQueue = 'backup';

/** VRAM tiers in GiB, smallest first. */
export const gpuClasses = ['8g', '12g', '16g', '24g', '32g', '48g', '80g', '141g'] as const;
export type GpuClass = (typeof gpuClasses)[number];

export function classGiB(gpuClass: GpuClass): number {
  return Number.parseInt(gpuClass, 10);
}

/** `gpuClass` is the smallest class the model fits, never the card it runs on: a model has one queue. */
export function inferenceQueue(gpuClass: GpuClass, modelId: string): string {
  return `inference_${gpuClass}_${modelId}`;
}

const talkEnd = '_talk';

/** Conversations with the model of a queue: polled by the same machines, before its other work. */
export function talkQueue(queue: string): string {
  return `${queue}${talkEnd}`;
}

/** The models that somebody serves who polls these queues, each once. */
export function modelsOfQueues(queues: readonly string[]): string[] {
  const names = new Set(queues.flatMap((queue) => /^inference_\d+g_(.+)$/.exec(queue)?.[1] ?? []));
  // A model's conversations have a queue of their own beside it; a model may end with that word, too.
  return [...names].filter((name) => !name.endsWith(talkEnd) || !names.has(name.slice(0, -talkEnd.length))).sort();
}

/** Slugs carry dashes and queues may not, so `pc-2` polls `machine_pc_2`; the fleet schema refuses two ids that meet here. */
export function machineQueue(machineId: string): string {
  return `machine_${machineId.replaceAll('-', '_')}`;
}

/** What leaves for others, each kind on a queue of its own: what is slow there holds up nothing here. */
export const channelQueues = { mail: 'channel_mail', webhooks: 'channel_webhooks', notify: 'channel_notify' } as const;
export type Channel = keyof typeof channelQueues;

/** Work for a service of the owner's; services whose ids meet here are refused (domain/services.ts). */
export function externalQueue(serviceId: string): string {
  return `external_${serviceId.replaceAll(/[-@]/g, '_')}`;
}

/** Posts of one kind of channel: each kind has a rate of its own. */
export function channelQueue(kind: ChannelKindName): string {
  return `channel_${kind}`;
}
