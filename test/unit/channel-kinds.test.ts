import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { channelKindNames } from '../../domain/channel-kinds.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const rooms = ['domain', 'workflows', 'activities', 'workers', 'stores', 'api', 'cli', 'integrations', 'config'];
/** Where a kind may be named: its folder, and the one table. */
const own = /^(?:integrations\/channels\/|domain\/channel-kinds\.ts$)/;
/** `feed` and `webhook` are words of sources and endpoints, too. */
const named = channelKindNames.filter((kind) => kind !== 'feed' && kind !== 'webhook');

test('a kind of channel is named in one folder and one table, so that another one touches nothing else', () => {
  const files = rooms.flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(?:ts|sql|js)$/.test(file))
      .map((file) => join(room, file)),
  );
  expect(files.length).toBeGreaterThan(300);
  const elsewhere = files
    .filter((file) => !own.test(file))
    .flatMap((file) => {
      const source = readFileSync(join(root, file), 'utf8');
      return named.filter((kind) => new RegExp(`['"\`]${kind}['"\`]`).test(source)).map((kind) => `${file}: ${kind}`);
    });
  expect(elsewhere).toEqual([]);
});
