import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
