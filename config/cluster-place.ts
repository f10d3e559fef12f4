import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import { frozen } from './frozen.ts';

/** Where the cluster of a deployment and its backups lie on this host: `cluster.json` of the kit, which holds no secret. */
const placeSchema = z.strictObject({
  /** Programs, by their words. */
  pgbackrest: z.array(z.string()).min(1),
  postgres: z.string(),
  /** The server's settings. */
  configFile: z.string(),
  /** Holds the cluster's folder, and what is made beside it. */
  data: z.string(),
  /** The cluster's folder in `data`. */
  cluster: z.string(),
  socket: z.string(),
  port: z.int(),
  passwordFile: z.string(),
  /** Holds the repository, and what a drill makes. */
  backup: z.string(),
  /** A folder of the host for the second copy; null: there is none. */
  second: z.string().nullable(),
  /** Days that backups are kept. */
  keep: z.int(),
});
export type ClusterPlace = Readonly<z.infer<typeof placeSchema>>;

/** @throws CONFIG_INVALID where the file is none of the kit's */
export function readClusterPlace(file: string): ClusterPlace {
  try {
    return frozen(placeSchema.parse(JSON.parse(readFileSync(file, 'utf8'))));
  } catch (err) {
    throw new DomainError('CONFIG_INVALID', `${file} is not what the kit has written: soulfra deploy init`, {
      cause: err,
    });
  }
}
