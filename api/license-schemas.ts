import { z } from 'zod';
import { idSchema, nameSchema } from '../domain/ids.ts';
import { permissionCodes } from '../domain/licenses.ts';
import { licenseStates } from '../domain/states.ts';
import { textSchema, timeSchema } from './schemas.ts';

/** Pieces that the routes of licenses share. */

export const licenseParams = z.strictObject({ id: idSchema('license') });
export const packageHashSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 as 64 lower-case hex digits')
  .describe('SHA-256 of the package’s content');
/** The caller's own id of a use: the same one again is the same use. */
export const useIdSchema = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 visible ASCII characters');
export const reasonSchema = textSchema(300);

export const licenseSchema = z
  .object({
    id: idSchema('license'),
    kind: nameSchema,
    state: z.enum(licenseStates),
    holder: z.string(),
    issuer: z.string().describe('Whose key signs its files'),
    packageHash: packageHashSchema,
    purchaseId: z.string().nullable().describe('null: given by hand'),
    suspendedBy: z.array(z.string()).describe('What has to end before it is active again'),
    uses: z.int(),
    usesLimit: z.int().nullable(),
    activations: z.int().describe('Places where it is in use'),
    activationsLimit: z.int().nullable(),
    seats: z.int().describe('People who use it'),
    seatsLimit: z.int().nullable(),
    transferable: z.boolean(),
    commercial: z.boolean(),
    transfers: z.int(),
    issuedAt: timeSchema,
    startsAt: timeSchema.nullable(),
    expiresAt: timeSchema.nullable().describe('End of its term, before the grace'),
    graceSeconds: z.int(),
  })
  .meta({ id: 'License' });

export const permissionSchema = z
  .object({
    code: z.enum(permissionCodes),
    permitted: z.boolean().describe('VALID and IN_GRACE'),
    explanation: z.string(),
    mend: z.string(),
    license: licenseSchema,
  })
  .meta({ id: 'LicensePermission' });
