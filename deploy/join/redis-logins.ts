import type { Redis } from 'ioredis';
import { createHash } from 'node:crypto';

/**
 * A user of its own for each machine that is in. It may use keys and streams; what reads or writes files of this box, changes the
 * server or looks at others' connections is refused. Redis forgets users when it ends, so they are set at each connection.
 */
export async function setRedisLogins(
  redis: Redis,
  prefix: string,
  logins: ReadonlyArray<{ user: string; password: string }>,
): Promise<void> {
  for (const { user, password } of logins) {
    const hash = createHash('sha256').update(password).digest('hex');
    await redis.call(
      'ACL',
      'SETUSER',
      user,
      'reset',
      'on',
      `#${hash}`,
      '~*',
      '&*',
      '+@all',
      '-@admin',
      '-@dangerous',
      '+info',
    );
  }
  const kept = new Set(logins.map(({ user }) => user));
  const users = (await redis.call('ACL', 'USERS')) as string[];
  const gone = users.filter((user) => user.startsWith(prefix) && !kept.has(user));
  if (gone.length > 0) await redis.call('ACL', 'DELUSER', ...gone);
}
