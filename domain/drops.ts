import { z } from 'zod';
import { channelKindNames } from './channel-kinds.ts';
import { idSchema, slugSchema } from './ids.ts';
import type { ChannelStage, DropState } from './states.ts';
import { textSchema } from './text.ts';

/** A myth drop: what a person or a model has written, for whom it speaks, and where it goes. Pure: stores/drops.ts keeps it. */

const mostDropChannels = 20;
const bodySchema = textSchema(10_000);

export const dropWordsSchema = z.strictObject({
  title: z.union([z.literal(''), textSchema(200)]),
  body: bodySchema,
  bodies: z.partialRecord(z.enum(channelKindNames), bodySchema).describe('In place of the body, by kind of channel'),
  narration: z.union([z.literal(''), textSchema(10_000)]).describe('To be read aloud'),
});
export type DropWordFields = z.infer<typeof dropWordsSchema>;

export const dropTargetsSchema = z.strictObject({
  agentId: slugSchema.nullable().describe('Who speaks; null: you do'),
  channels: z
    .array(idSchema('channel'))
    .min(1)
    .max(mostDropChannels)
    .refine((ids) => new Set(ids).size === ids.length, {
      error: 'must name each channel once',
      params: { mend: 'Leave out the second.' },
    }),
  evidence: z.array(idSchema('reflection')).max(50).describe('Reflections that it rests on'),
});

export type DropSource = 'person' | 'model' | 'extractive';

/** It may still be changed or taken back as a whole: nothing of it has left, nor is about to. */
export function isUnsent(state: DropState): boolean {
  return state === 'draft' || state === 'awaiting_approval' || state === 'scheduled';
}

/** A person's word is needed first where one of its channels asks for it; in dry run nothing leaves, so that none is needed. */
export function needsApproval(stages: readonly ChannelStage[]): boolean {
  return stages.includes('approval');
}

/** @returns the stage is one step on, or back by any */
export function mayStep(from: ChannelStage, to: ChannelStage): boolean {
  const order: readonly ChannelStage[] = ['dry_run', 'approval', 'free'];
  return order.indexOf(to) <= order.indexOf(from) + 1;
}

export interface EndedDelivery {
  state: 'published' | 'failed' | 'unconfirmed';
  rehearsal: boolean;
}

/** What a drop is once none of its deliveries is under way. */
export function endOfDrop(deliveries: readonly EndedDelivery[]): { state: DropState; reason: string } {
  const real = deliveries.filter(({ rehearsal }) => !rehearsal);
  if (real.length === 0) return { state: 'canceled', reason: 'every channel was in dry run: nothing left' };
  const states = new Set(real.map(({ state }) => state));
  if (states.size === 1 && states.has('published')) return { state: 'published', reason: '' };
  if (states.size === 1 && states.has('failed')) return { state: 'failed', reason: 'no channel took it' };
  return {
    state: 'partly_published',
    reason: states.has('unconfirmed')
      ? 'of a channel it is not known whether it is there'
      : 'not every channel took it',
  };
}
