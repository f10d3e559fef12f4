import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sealedColumns } from '../../api/reseal.ts';
import { createServer } from '../../api/server.ts';
import { createSecretBox, type SecretBox } from '../../integrations/secret-box.ts';
import { newId } from '../../stores/ids.ts';
import { sealedRows } from '../../stores/sealed-rows.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
});
afterAll(() => api?.close());

const keyOf = (byte: number) => Buffer.alloc(32, byte);
const sourceSecrets = 450;

/** Rows of each column, sealed under the keys of `boxes`. */
async function seed(boxes: { secretBox: SecretBox; webhookBox: SecretBox }): Promise<void> {
  for (const table of ['source_secrets', 'webhook_secrets', 'webhooks', 'channels', 'signing_keys'])
    await sql`delete from ${sql.table(table)}`.execute(api.db);
  const { ownerId } = api;
  const ids = Array.from({ length: sourceSecrets }, () => newId('sourceSecret'));
  const sealed = ids.map((id) => boxes.secretBox.seal('whsec_sender', `source secret ${id}`));
  await sql`insert into source_secrets (id, owner_id, source_id, sealed)
    select id, ${ownerId}, 'news', sealed from unnest(${ids}::text[], ${sealed}::bytea[]) as v (id, sealed)`.execute(
    api.db,
  );
  await sql`insert into source_secrets (id, owner_id, source_id, revoked_at) values (${newId('sourceSecret')}, ${ownerId}, 'news', now())`.execute(
    api.db,
  );
  const key = `key_${'0'.repeat(32)}`;
  await sql`insert into signing_keys (id, owner_id, public_key, source, sealed, signs_since)
    values (${key}, ${ownerId}, ${Buffer.alloc(32)}, 'sealed', ${boxes.secretBox.seal('pem', `signing key ${key}`)}, now())`.execute(
    api.db,
  );
  const [webhook, secret] = [newId('webhook'), newId('webhookSecret')];
  await sql`insert into webhooks (id, owner_id, url, types) values (${webhook}, ${ownerId}, 'https://quay.example/hook', '{order.paid}')`.execute(
    api.db,
  );
  await sql`insert into webhook_secrets (id, owner_id, webhook_id, sealed)
    values (${secret}, ${ownerId}, ${webhook}, ${boxes.webhookBox.seal('whsec_endpoint', `webhook secret ${secret}`)})`.execute(
    api.db,
  );
  const channel = newId('channel');
  await sql`insert into channels (id, owner_id, kind, name, settings, destination, sealed, session) values (${channel}, ${ownerId}, 'bluesky', 'sky', '{}', 'x',
    ${boxes.webhookBox.seal('{}', `channel secrets ${channel}`)}, ${boxes.webhookBox.seal('{"jwt":1}', `channel session ${channel}`)})`.execute(
    api.db,
  );
}

/** How many rows of all columns these open. */
async function openedBy(boxes: { secretBox: SecretBox; webhookBox: SecretBox }): Promise<number> {
  let opened = 0;
  for (const column of sealedColumns) {
    for (const { id, sealed } of await sealedRows(api.db, column, { after: '', limit: 1000 })) {
      try {
        boxes[column.box].open(sealed, column.about(id));
        opened += 1;
      } catch {
        // Under another key: what is counted.
      }
    }
  }
  return opened;
}

const all = sourceSecrets + 4;
const boxesOf = (now: number, old?: number) => ({
  secretBox: createSecretBox(keyOf(now), ...(old === undefined ? [] : [keyOf(old)])),
  webhookBox: createSecretBox(keyOf(now + 1), ...(old === undefined ? [] : [keyOf(old + 1)])),
});

test('the list of what is sealed is that of the schema', () => {
  const schema = readFileSync(new URL('../../stores/schema.generated.txt', import.meta.url), 'utf8');
  const sealed = [...schema.matchAll(/^(\w+)\.(sealed|session) bytea/gm)].map(
    ([, table, column]) => `${table}.${column}`,
  );
  expect(sealedColumns.map(({ table, column }) => `${table}.${column}`).toSorted()).toEqual(sealed.toSorted());
});

test('all is sealed anew in batches by who runs the installation; again it finds nothing, and without a key before it is refused', async () => {
  await seed(boxesOf(10));
  const app = await createServer({ ...api.deps, ...boxesOf(20, 10) });
  const reseal = async (token: string, body: object, query = '') => {
    const answer = await app.inject({
      method: 'POST',
      url: `/v1/secrets/reseal${query}`,
      headers: { authorization: `Bearer ${token}` },
      payload: body,
    });
    return {
      status: answer.statusCode,
      json: answer.json<{ resealed: number; unreadable: string[]; next: string | null; code?: string }>(),
    };
  };
  expect((await reseal(api.stranger.token, {})).json.code).toBe('FORBIDDEN');
  expect((await reseal(api.tokens.creator, {})).status).toBe(403);
  expect((await reseal(api.tokens.operator, { from: '9:' })).json.code).toBe('INVALID_INPUT');
  expect((await reseal(api.tokens.operator, {}, '?dryRun=true')).json).toMatchObject({ dryRun: true });
  expect(await openedBy(boxesOf(10))).toBe(all);

  const strange = newId('sourceSecret');
  await sql`insert into source_secrets (id, owner_id, source_id, sealed) values (${strange}, ${api.ownerId}, 'news', ${createSecretBox(keyOf(99)).seal('x', 'y')})`.execute(
    api.db,
  );
  const pass = async () => {
    const sum = { resealed: 0, unreadable: [] as string[], batches: 0 };
    for (let from: string | null | undefined; from !== null; sum.batches += 1) {
      const { json } = await reseal(api.tokens.operator, from === undefined ? {} : { from });
      expect(json.resealed).toBeLessThanOrEqual(200);
      sum.resealed += json.resealed;
      sum.unreadable.push(...json.unreadable);
      from = json.next;
    }
    return sum;
  };
  expect(await pass()).toMatchObject({ resealed: all, unreadable: [`source_secrets.sealed ${strange}`] });
  expect(await openedBy(boxesOf(20))).toBe(all);
  expect(await pass()).toMatchObject({ resealed: 0 });
  await app.close();
  expect((await api.call('POST', '/v1/secrets/reseal', { body: {} })).json['code']).toBe('CONFLICT');
});

test('killed in the middle: every row opens by one of both keys, and the next pass ends it', async () => {
  await seed(boxesOf(10));
  const program = fileURLToPath(new URL('../support/reseal-slowly.ts', import.meta.url));
  const child = spawn(process.execPath, [program, api.scope.databaseUrl], { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
  child.stdout.once('data', () => child.kill('SIGKILL'));
  expect(await gone).toBe('SIGKILL');
  const anew = await openedBy(boxesOf(20));
  // The one signing key, and two rows in each of 18 batches; the last was never committed.
  expect(anew).toBe(37);
  expect(await openedBy(boxesOf(20, 10))).toBe(all);

  const app = await createServer({ ...api.deps, ...boxesOf(20, 10) });
  let resealed = 0;
  for (let from: string | null | undefined; from !== null; ) {
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/secrets/reseal',
      headers: { authorization: `Bearer ${api.tokens.operator}` },
      payload: from === undefined ? {} : { from },
    });
    const batch: { resealed: number; next: string | null } = answer.json();
    resealed += batch.resealed;
    from = batch.next;
  }
  await app.close();
  expect(resealed).toBe(all - anew);
  expect(await openedBy(boxesOf(20))).toBe(all);
});
