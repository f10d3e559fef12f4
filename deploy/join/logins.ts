import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

/**
 * A machine's logins follow from the key of this installation and from what let the machine in: a join that is asked again is told
 * the same, a restored or restarted server is given the same, and none of them is kept.
 */
export interface MachineLogins {
  postgres: { user: string; password: string };
  redis: { user: string; password: string };
}

/** Names of Postgres end at 63 bytes. */
const longestPlain = 47;

export const postgresPrefix = 'soulfra_machine_';
export const redisPrefix = 'machine-';

export function loginsOf(key: string, { machineId, inviteId }: { machineId: string; inviteId: string }): MachineLogins {
  const passwordFor = (server: string) =>
    createHmac('sha256', Buffer.from(key, 'base64url'))
      .update(`${server} ${machineId} ${inviteId}`)
      .digest('base64url');
  const short =
    machineId.length <= longestPlain
      ? machineId
      : `${machineId.slice(0, longestPlain - 9)}_${createHash('sha256').update(machineId).digest('hex').slice(0, 8)}`;
  return {
    postgres: { user: `${postgresPrefix}${short}`, password: passwordFor('postgres') },
    redis: { user: `${redisPrefix}${machineId}`, password: passwordFor('redis') },
  };
}

const rounds = 4096;

/** What Postgres keeps of a password (SCRAM-SHA-256), so that none is ever in a statement that it may log. */
export function scramVerifier({ user, password }: { user: string; password: string }): string {
  const salt = createHash('sha256').update(`${user} ${password}`).digest().subarray(0, 16);
  const salted = pbkdf2Sync(password, salt, rounds, 32, 'sha256');
  const keyed = (text: string) => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${rounds}:${salt.toString('base64')}$${stored}:${keyed('Server Key').toString('base64')}`;
}
