import { z } from 'zod';
import { backupIdSchema } from '../../domain/backups.ts';
import { backupStates } from '../../domain/states.ts';
import { listBackups, listDrills } from '../../stores/queries/backups.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const backupSchema = z
  .object({
    id: backupIdSchema,
    state: z.enum(backupStates),
    reason: z.string().describe('Why it failed'),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
    folder: z.string().describe('Of the host that has the data'),
    bytes: z.int().nullable(),
    rows: z.int().nullable(),
    copyReason: z.string().describe('Why the second copy was not made; empty: it was, or none is asked for'),
  })
  .meta({ id: 'Backup' });

const drillSchema = z
  .object({
    id: backupIdSchema,
    backupId: z.string(),
    state: z.enum(backupStates),
    reason: z.string().describe('Why it failed'),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
    rpoSeconds: z.number().nullable().describe('What would have been lost'),
    rtoSeconds: z.number().nullable().describe('How long it took until every row was back and compared'),
  })
  .meta({ id: 'RestoreDrill' });

export function backupRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/backups',
    role: 'operator',
    tag: 'backups',
    summary: 'Backups that were made or tried, the last first; what lies there is told by `soulfra backups list`',
    item: backupSchema,
    filters: { state: z.enum(backupStates).optional() },
    params: z.object({}),
    key: backupIdSchema,
    keyOf: ({ id }) => id,
    rows: (page, filters) => listBackups(db, { ...page, ...filters }),
  });

  listRoute(app, {
    url: '/v1/restore-drills',
    role: 'operator',
    tag: 'backups',
    summary: 'Tries to restore a backup, the last first',
    item: drillSchema,
    filters: {},
    params: z.object({}),
    key: backupIdSchema,
    keyOf: ({ id }) => id,
    rows: (page) => listDrills(db, page),
  });
}
