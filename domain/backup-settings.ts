import { z } from 'zod';

/** `backup` of fleet.yaml: how a fleet that `npm start` runs is backed up, and the cluster of a deployment (docs/backup.md). */
export const backupSettingsSchema = z.strictObject({
  /** Time of day in UTC at which one is made. */
  at: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time such as 01:30')
    .default('01:30'),
  /** Backups of so many days are kept, here and in `to`: of the newest day all, of each before it the last. */
  keep: z.int().min(1).max(1000).default(7),
  /** A folder of the host for a second copy, best on another disk; absent: there is none. */
  to: z.string().max(4096).regex(/^\//, 'must be an absolute path').optional(),
});
export type BackupSettings = z.infer<typeof backupSettingsSchema>;
