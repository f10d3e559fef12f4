import { z } from 'zod';
import { canonicalJson } from './canonical-json.ts';
import { portNumber, serviceIdSchema, type ServiceSpec } from './services.ts';

/** The schema of a machine's own trust file: what its owner has agreed to run there. It never leaves the machine. */

const variableName = z
  .string()
  .max(200)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable');

const absolutePath = z
  .string()
  .max(4_096)
  // A unit has no way to write these.
  .regex(/^\/[^\p{Cc}\\]*$/u, 'must be an absolute path without backslashes and control characters');

const trustedPortSchema = z.strictObject({
  port: portNumber,
  protocol: z.enum(['tcp', 'udp']).optional(),
  address: z.string().min(1).max(253).optional(),
  containerPort: portNumber.optional(),
});

const trustedServiceSchema = z
  .strictObject({
    id: serviceIdSchema,
    /** Word for word as the fleet describes it; so are image and workingDirectory. */
    command: z.array(z.string().max(10_000)).min(1).max(500).optional(),
    image: z.string().min(1).max(500).optional(),
    workingDirectory: z.string().min(1).max(500).optional(),
    /** Of an image: the ports that it opens on this machine, as the fleet describes them. */
    ports: z.array(trustedPortSchema).max(200).optional(),
    /** In place of the four: the hash of `commandText`. */
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
      .optional(),
    /** Where the folder that was imported lies on this machine. */
    folder: absolutePath,
    /** Variables of the worker's own environment that it is given; no other one is. */
    environment: z.array(variableName).max(200).default([]),
    /** Under whose name a unit of the system runs. */
    user: z
      .string()
      .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must be the name of a user')
      .optional(),
    limits: z
      .strictObject({
        memoryMiB: z.int().min(1).max(16_777_216).optional(),
        cpus: z.number().min(0.01).max(1_024).optional(),
        tasks: z.int().min(1).max(1_000_000).optional(),
      })
      .optional(),
  })
  .refine(
    ({ command, image, sha256 }) => (sha256 === undefined) !== (command === undefined && image === undefined),
    'must have either sha256, or command or image',
  )
  .refine(
    ({ sha256, workingDirectory }) => sha256 === undefined || workingDirectory === undefined,
    'must leave out workingDirectory where it has sha256',
  )
  .refine(
    ({ image, ports }) => ports === undefined || image !== undefined,
    'must leave out ports where it has no image: only a container has its ports opened for it',
  );

export const trustFileSchema = z.strictObject({
  version: z.literal(1),
  services: z.array(trustedServiceSchema).max(5_000).default([]),
  /** What a rollout may run here, word for word. */
  commands: z
    .array(z.strictObject({ command: z.array(z.string().max(10_000)).min(1).max(200) }))
    .max(1_000)
    .default([]),
  /** Where a rollout may write branches of its own. */
  repositories: z.array(absolutePath).max(1_000).default([]),
});
export type TrustFile = z.output<typeof trustFileSchema>;
export type TrustedService = TrustFile['services'][number];

/** What of a service is a command. */
export interface Command extends Pick<ServiceSpec, 'command' | 'image' | 'workingDirectory'> {
  /** Of an image alone they are opened on the host. */
  ports?: ReadonlyArray<z.output<typeof trustedPortSchema>> | undefined;
}

/**
 * The one text of a command with its working directory and the names of its variables, and of an image with its ports; its SHA-256 may
 * stand in the trust file.
 */
export function commandText(
  { command, image, workingDirectory, ports = [] }: Command,
  environment: readonly string[],
): string {
  return canonicalJson({
    command: command ?? null,
    environment: environment.toSorted(),
    image: image ?? null,
    ...(image === undefined ? {} : { ports: ports.map(portText) }),
    workingDirectory: workingDirectory ?? null,
  });
}

/** As it is opened: what is left out and what it stands for are the same. */
function portText({ port, protocol = 'tcp', address, containerPort = port }: z.output<typeof trustedPortSchema>) {
  return { address: address ?? null, containerPort, port, protocol };
}

/**
 * Whether a machine trusts the command that the fleet describes now.
 * @param hashOf SHA-256 of a text, in hexadecimal digits
 */
export function isTrusted(entry: TrustedService, spec: Command, hashOf: (text: string) => string): boolean {
  // Half a surrogate pair has no bytes to be trusted.
  const words = [
    spec.image,
    spec.workingDirectory,
    ...(spec.command ?? []),
    ...(spec.ports ?? []).map(({ address }) => address),
  ];
  if (!words.every((word) => word?.isWellFormed() ?? true)) return false;
  if (entry.sha256 !== undefined) return entry.sha256 === hashOf(commandText(spec, entry.environment));
  return commandText(entry, []) === commandText(spec, []);
}

/** What a machine tells the fleet of its trust file: which of the fleet's own commands it would run. */
export interface TrustedCommand {
  service: string;
  /** Of `commandText` without variables. */
  sha256: string;
}

/** Why a service is down that this machine does not trust, and the mend. */
export function untrustedReason(serviceId: string, machineId: string, changed: boolean): string {
  const since = changed ? ': it is another one than was agreed to' : '';
  return `command not trusted on ${machineId}${since}; there run \`soulfra services trust ${serviceId}\``;
}
