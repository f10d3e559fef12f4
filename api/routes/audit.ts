import { z } from 'zod';
import { auditOutcomes } from '../../domain/audit.ts';
import { idSchema } from '../../domain/ids.ts';
import { listAudit } from '../../stores/queries/audit.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { roleSchema, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const auditSchema = z
  .object({
    id: idSchema('request').describe('The `x-request-id` of its answer; logs have it too'),
    at: timeSchema,
    actor: z.string().nullable().describe('Id of the user; null: nobody had signed in'),
    actorName: z.string().nullable(),
    tokenId: z.string().nullable().describe('Of the token or session'),
    kind: z.enum(['bearer', 'session']).nullable(),
    role: roleSchema.nullable(),
    service: z.string().nullable().describe('Whose token it was, where it was a service’s'),
    method: z.string(),
    route: z.string(),
    subjects: z.array(z.string()).describe('Ids in the address, and of what was made'),
    outcome: z
      .enum(auditOutcomes)
      .describe('refused: 401 or 403. unknown: it began and no end was written; the process died, or it is under way'),
    status: z.int().nullable().describe('Of the answer'),
  })
  .meta({ id: 'AuditEntry' });

const idText = z.string().min(1).max(200);

export function auditRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/audit',
    role: 'operator',
    tag: 'audit',
    summary: 'Every write that the API was asked for, with who asked, the last first; never what was sent',
    item: auditSchema,
    filters: {
      actor: idText.optional().describe('Id of a user, token or service'),
      subject: idText.optional().describe('Id of what it was about'),
      outcome: z.enum(auditOutcomes).optional(),
      since: timeSchema.optional(),
      until: timeSchema.optional(),
    },
    params: z.object({}),
    key: idSchema('request'),
    keyOf: (entry) => entry.id,
    rows: (page, filters) => listAudit(db, { ...page, ...filters }),
  });
}
