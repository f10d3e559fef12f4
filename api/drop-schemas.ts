import { z } from 'zod';
import { channelKindNames } from '../domain/channel-kinds.ts';
import { deliveryOutcomes } from '../domain/deliveries.ts';
import { dropTargetsSchema, dropWordsSchema } from '../domain/drops.ts';
import { idSchema } from '../domain/ids.ts';
import { dropDeliveryStates, dropStates } from '../domain/states.ts';
import { linksSchema, timeSchema } from './schemas.ts';

/** Pieces that the routes of drops share. */

export const dropParams = z.strictObject({ id: idSchema('drop') });

export const dropSchema = z
  .object({
    id: idSchema('drop'),
    state: z.enum(dropStates),
    reason: z.string(),
    agentId: z.string().nullable(),
    title: z.string(),
    body: z.string(),
    bodies: z.record(z.string(), z.string()),
    narration: z.string(),
    channels: z.array(idSchema('channel')),
    evidence: z.array(z.string()),
    source: z.enum(['person', 'model', 'extractive']),
    degraded: z.boolean().describe('By a smaller model than the agent’s'),
    version: z.int().describe('Its `ETag`'),
    publishAt: timeSchema.nullable(),
    sentAt: timeSchema.nullable().describe('When it was first sent on its way; null: it has no workflow'),
    approvedBy: z.string().nullable(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'Drop' });

export const deliverySchema = z
  .object({
    id: idSchema('delivery'),
    dropId: idSchema('drop'),
    channelId: idSchema('channel'),
    channel: z.string().describe('Its name'),
    kind: z.enum(channelKindNames),
    state: z.enum(dropDeliveryStates).describe('unconfirmed: it left and no answer came'),
    rehearsal: z.boolean().describe('The channel was in dry run: nothing left'),
    text: z.string().nullable().describe('As it leaves'),
    reason: z.string(),
    url: z.string().nullable(),
    attempts: z.int(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Delivery' });

export const dropDetailSchema = dropSchema
  .extend({
    deliveries: z.array(deliverySchema),
    attempts: z.array(
      z.object({
        deliveryId: idSchema('delivery'),
        attempt: z.int(),
        beganAt: timeSchema,
        endedAt: timeSchema.nullable(),
        outcome: z.enum(deliveryOutcomes).nullable(),
        status: z.int().nullable(),
        reason: z.string(),
      }),
    ),
  })
  .meta({ id: 'DropDetail' });

export const newDropBody = z.strictObject({
  ...dropTargetsSchema.shape,
  ...dropWordsSchema.shape,
  agentId: dropTargetsSchema.shape.agentId.default(null),
  evidence: dropTargetsSchema.shape.evidence.default([]),
  title: dropWordsSchema.shape.title.default(''),
  bodies: dropWordsSchema.shape.bodies.default({}),
  narration: dropWordsSchema.shape.narration.default(''),
});

export const dropChangeBody = z
  .strictObject({
    ...dropWordsSchema.shape,
    channels: dropTargetsSchema.shape.channels,
    publishAt: timeSchema,
  })
  .partial()
  .refine((body) => Object.keys(body).length > 0, { error: 'must change something' });
