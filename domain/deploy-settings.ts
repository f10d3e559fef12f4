import { z } from 'zod';
import { slugSchema } from './ids.ts';

/** Of the containers that talk behind the proxy; its own address in it is what the API believes (SOULFRA_TRUST_PROXY). */
const subnet = z
  .string()
  .regex(/^(?:10|172\.(?:1[6-9]|2\d|3[01])|192\.168)(?:\.(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])){1,2}\.0\/24$/, {
    error: 'must be a private IPv4 network of 256 addresses, such as 172.30.97.0/24',
  })
  .refine((text) => z.cidrv4().safeParse(text).success, 'must be four numbers and /24, such as 172.30.97.0/24');

const address = z.union([z.ipv4(), z.ipv6()], { error: 'must be an address such as 10.8.0.1, no name' });
const port = (usual: number) => z.int().min(1024).max(65_535).default(usual);

/** `deploy` of fleet.yaml: what `soulfra deploy init` makes its folder by (docs/deploy.md). Nothing that runs reads it. */
export const deploySettingsSchema = z.strictObject({
  /** Machine that holds the data, Temporal and the API; default: the one that coordinates with the most pollers. */
  coordination: slugSchema.optional(),
  /** Machine that holds a second copy of the data, and can take over by hand; absent: there is none. */
  standby: slugSchema.optional(),
  /** By which the machines reach each other, best of a network of their own; one machine alone needs none. */
  addresses: z.record(slugSchema, address).default({}),
  /** Name or address that browsers open; default: the address of `coordination`. */
  host: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i, 'must be a name or an IPv4 address, without a port')
    .optional(),
  /** Of the containers of one host, behind its proxy; another where this one is in use there. */
  subnet: subnet.default('172.30.97.0/24'),
  /** Whether what Temporal keeps of workflows is encoded (docs/security.md#payloads); off again, it is still read. */
  payloadCodec: z.boolean().default(false),
  /** Ports of the coordinating machine. */
  ports: z
    .strictObject({
      https: port(17_443),
      telemetry: port(17_444),
      temporal: port(7233),
      postgres: port(5432),
      redis: port(6379),
    })
    .prefault({}),
});
export type DeploySettings = z.infer<typeof deploySettingsSchema>;
