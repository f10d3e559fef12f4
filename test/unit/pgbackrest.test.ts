import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import { openPgbackrest } from '../../deploy/cluster/pgbackrest.ts';
import type { ErrorCode } from '../../domain/errors.ts';

/** What its ways to end mean to us. With pgBackRest itself: test/integration/cluster-backup.test.ts. */

const work = mkdtempSync(join(tmpdir(), 'soulfra-pgbackrest-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** @param ends of each command, in words of the shell */
async function verified(ends: { verify: string; info?: string }): Promise<ErrorCode | 'whole'> {
  const script = join(work, 'pgbackrest.sh');
  const { verify, info = 'echo "[]"' } = ends;
  writeFileSync(script, `case "$*" in\n  *' verify') ${verify} ;;\n  *' info') ${info} ;;\nesac\n`);
  const place: ClusterPlace = {
    pgbackrest: ['/bin/sh', script],
    postgres: 'false',
    configFile: 'none',
    data: work,
    cluster: 'main',
    socket: work,
    port: 5432,
    passwordFile: 'none',
    backup: work,
    second: null,
    keep: 7,
  };
  return openPgbackrest(place)
    .verify()
    .then(
      () => 'whole',
      (err: { code: ErrorCode }) => err.code,
    );
}

test('which backups are not whole is noted until they are read and are', async () => {
  mkdirSync(join(work, 'repo'));
  const notes = join(work, 'repo/damaged.json');
  const noted = () => JSON.parse(readFileSync(notes, 'utf8')) as unknown;
  const invalid = 'echo "  backup: 20261101-013000F, status: invalid, total files checked: 2"';
  expect(await verified({ verify: `echo "status: error"; ${invalid}` })).toBe('BACKUP_DAMAGED');
  expect(noted()).toEqual(['20261101-013000F']);
  // Neither of these has looked at it.
  await verified({ verify: 'kill -TERM $$' });
  await verified({ verify: 'echo "status: error"; echo "  No usable backup.info file"' });
  expect(noted()).toEqual(['20261101-013000F']);
  expect(await verified({ verify: 'true' })).toBe('whole');
  expect(existsSync(notes)).toBe(false);
});

test('damage is what it says of content, and not that it was ended or could not read', async () => {
  expect(await verified({ verify: 'echo "status: ok"' })).toBe('whole');
  expect(await verified({ verify: 'echo "status: error"; echo "  invalid checksum: 1"' })).toBe('BACKUP_DAMAGED');
  expect(await verified({ verify: 'echo "ERROR: [029]: zst error" >&2; exit 29' })).toBe('BACKUP_DAMAGED');
  // A file that cannot be opened by the passphrase that opens the others.
  const noKey = 'echo "ERROR: [095]: unable to flush" >&2; exit 95';
  expect(await verified({ verify: noKey })).toBe('BACKUP_DAMAGED');
  expect(await verified({ verify: noKey, info: noKey })).toBe('BACKUP_KEY_WRONG');
  for (const ended of [
    'kill -TERM $$',
    'echo "ERROR: [063]: terminated on signal [SIGTERM]" >&2; exit 63',
    'echo "ERROR: [050]: unable to acquire lock" >&2; exit 50',
    'echo "ERROR: [042]: unable to read: [5] Input/output error" >&2; exit 42',
  ])
    expect(await verified({ verify: ended }), ended).toBe('UNAVAILABLE');
});
