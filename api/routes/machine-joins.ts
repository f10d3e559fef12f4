import { z } from 'zod';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { certificateKinds, certificateStates, joinLinkText, machineInviteStates } from '../../domain/joins.ts';
import { listCertificates, listMachineInvites } from '../../stores/queries/machine-joins.ts';
import type { ApiContext } from '../context.ts';
import { openEdge } from '../control.ts';
import { listRoute } from '../lists.ts';
import { machineAnswerOf } from '../machine-views.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const inviteSchema = z
  .object({
    id: z.string(),
    machineId: slugSchema,
    state: z.enum(machineInviteStates),
    createdAt: timeSchema,
    expiresAt: timeSchema,
    usedAt: timeSchema.nullable(),
  })
  .meta({ id: 'MachineInvite' });

const certificateSchema = z
  .object({
    serial: z.string(),
    kind: z.enum(certificateKinds),
    machineId: slugSchema.nullable().describe('Null: of the authority or of the edge'),
    generation: z.int().describe('Of the authority that signed it'),
    state: z.enum(certificateStates),
    issuedAt: timeSchema,
    notAfter: timeSchema,
  })
  .meta({ id: 'Certificate' });

const serialSchema = z.string().regex(/^[0-9a-f]{1,40}$/);
const inviteBody = z.strictObject({
  machineId: slugSchema,
  listen: z
    .string()
    .regex(/^[\d.]+(?::\d{1,5})?$/, 'must be an IPv4 address of the fleet’s box, with :PORT where another is wanted')
    .optional()
    .describe('Where the fleet listens for it; default: where it does already, or its only address'),
  host: z
    .string()
    .regex(/^[A-Za-z0-9.-]{1,253}$/, 'must be a host name or an IPv4 address')
    .optional()
    .describe('What the other box dials; default: the address that the fleet listens on'),
});
const invitedSchema = z.object({
  id: z.string(),
  machineId: slugSchema,
  line: z.string().describe('What the other box runs: `npm run join -- LINE`; shown once'),
  listens: z.string(),
  expiresAt: timeSchema,
});

export function machineJoinRoutes(app: Api, context: ApiContext): void {
  const { db, machineJoins } = context;

  listRoute(app, {
    url: '/v1/machine-invites',
    role: 'operator',
    tag: 'machines',
    summary: 'Invitations of machines that run on other boxes, the last first',
    item: inviteSchema,
    filters: { machineId: slugSchema.optional() },
    params: z.object({}),
    key: idSchema('machineInvite'),
    keyOf: ({ id }) => id,
    rows: (page, filters) => listMachineInvites(db, { ...page, ...filters }),
  });

  listRoute(app, {
    url: '/v1/certificates',
    role: 'operator',
    tag: 'machines',
    summary: 'Certificates that the fleet’s own authority has signed, and its own',
    item: certificateSchema,
    filters: {
      machineId: slugSchema.optional(),
      kind: z.enum(certificateKinds).optional(),
      state: z.enum(certificateStates).optional(),
    },
    params: z.object({}),
    key: serialSchema,
    keyOf: ({ serial }) => serial,
    rows: (page, filters) => listCertificates(db, { ...page, ...filters }),
  });

  app.route({
    method: 'POST',
    url: '/v1/machine-invites',
    config: { role: 'operator' },
    schema: {
      tags: ['machines'],
      summary:
        'Invites a machine of fleet.yaml from another box: once, within 15 minutes; opens the port that it comes by',
      querystring: writeQuery,
      body: inviteBody,
      response: { 200: dryRunSchema, 201: invitedSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { machineId, listen, host } = request.body;
      await machineAnswerOf(context, ownerId, machineId);
      if (request.query.dryRun) return { dryRun: true as const, would: `invite ${machineId}` };
      const edge = await openEdge(context.controlSocket, listen);
      const { id, secret, expiresAt } = await machineJoins.invite(ownerId, machineId);
      const line = joinLinkText({ host: host ?? edge.host, port: edge.port, secret, fingerprint: edge.fingerprint });
      return reply.code(201).send({ id, machineId, line, listens: `${edge.host}:${edge.port}`, expiresAt });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/machines/:id/revoke',
    config: { role: 'operator' },
    schema: {
      tags: ['machines'],
      summary: 'Ends invitations, certificates, connections and lease of a machine on another box',
      querystring: writeQuery,
      params: z.strictObject({ id: slugSchema }),
      body: emptyBody,
      response: {
        200: dryRunSchema.or(z.object({ invites: z.int(), certificates: z.int() })),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      await machineAnswerOf(context, ownerId, id);
      if (request.query.dryRun) return { dryRun: true as const, would: `revoke ${id}` };
      return machineJoins.revoke(ownerId, id);
    },
  });
}
