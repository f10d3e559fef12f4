import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openHome } from '../../deploy/embedded/home.ts';
import { processRef } from '../../deploy/embedded/processes.ts';
import { createApiClient } from '../../deploy/embedded/api-client.ts';
import { finishRotation, payloadVariables } from '../../deploy/embedded/rotation.ts';
import {
  beginRotation,
  endRotation,
  openOperatorToken,
  openPayloadKeys,
  openSecrets,
} from '../../deploy/embedded/secrets.ts';
import { temporalPart } from '../../deploy/embedded/temporal.ts';
import { payloadKeysOfHome, secretsOfHome } from '../../deploy/move/secrets.ts';
import { mostRingKeys, keyRingOf } from '../../domain/key-ring.ts';
import { createSecretBox, secretBoxOf } from '../../integrations/secret-box.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-rotation-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const homeAt = (name: string) =>
  openHome({ SOULFRA_HOME: join(folder, name), SOULFRA_CACHE: join(folder, 'cache') }, '/');

test('a box with a key before opens by both, seals by the one of now, and tells what is under neither', () => {
  const [old, now] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const box = createSecretBox(now, old);
  const before = createSecretBox(old).seal('whsec_quiet', 'a');
  const after = box.reseal(before, 'a')!;
  expect([box.open(before, 'a'), box.open(after, 'a'), createSecretBox(now).open(after, 'a')]).toEqual(
    Array.from({ length: 3 }, () => 'whsec_quiet'),
  );
  expect(box.reseal(after, 'a')).toBeUndefined();
  expect(() => createSecretBox(old).open(after, 'a')).toThrow();
  expect(() => box.reseal(createSecretBox(Buffer.alloc(32, 3)).seal('x', 'a'), 'a')).toThrow();
  // Sealed for one thing it is not taken for another, by no key.
  expect(() => box.reseal(before, 'b')).toThrow();
});

test('a rotation keeps the keys before until it is ended, and a second one is refused meanwhile', () => {
  const home = homeAt('whole');
  expect(() => beginRotation(home)).toThrow(/has no keys yet/);
  const first = openSecrets(home);
  beginRotation(home);
  const under = openSecrets(home);
  expect(under).toMatchObject({
    postgresPassword: first.postgresPassword,
    machineKey: first.machineKey,
    secretKeyOld: first.secretKey,
    webhookKeyOld: first.webhookKey,
  });
  expect([under.secretKey, under.webhookKey]).not.toContain(first.secretKey);
  expect(() => beginRotation(home)).toThrow(/under way already/);
  // A deployment has one key of each kind, so a fleet does not move in the middle.
  openOperatorToken(home);
  expect(() => secretsOfHome(home.dir, {})).toThrow(/keys of .* rotate/);
  // All was sealed under other keys than the file has now: neither is forgotten.
  expect(() => endRotation(home, first)).toThrow(/changed meanwhile/);
  expect(openSecrets(home)).toEqual(under);
  endRotation(home, under);
  const { secretKeyOld: _secret, webhookKeyOld: _webhook, ...rest } = under;
  expect(openSecrets(home)).toEqual(rest);
  expect(secretsOfHome(home.dir, {})).toMatchObject({ secret_key: under.secretKey, webhook_key: under.webhookKey });
  expect(statSync(home.path('secrets.json')).mode & 0o777).toBe(0o600);
});

test('the ring for payloads is made when the codec is first on, grows by each rotation, and forgets nothing by itself', () => {
  const home = homeAt('payloads');
  const variables = (env: Record<string, string>) => payloadVariables(env, home, openSecrets(home));
  expect(variables({})).toEqual({});
  expect(payloadKeysOfHome(home.dir, {})).toEqual([]);
  const [first] = keyRingOf(variables({ SOULFRA_PAYLOAD_CODEC: 'on' })['SOULFRA_PAYLOAD_KEYS']!)!;
  // Off again it is still given: what was encoded is read.
  expect(variables({})).toEqual({ SOULFRA_PAYLOAD_KEYS: first });
  expect(variables({ SOULFRA_PAYLOAD_KEYS: 'of the operator' })).toEqual({});
  beginRotation(home);
  const ring = keyRingOf(variables({})['SOULFRA_PAYLOAD_KEYS']!)!;
  expect(ring).toEqual([expect.not.stringMatching(first!), first]);
  endRotation(home, openSecrets(home));
  expect(openPayloadKeys(home)).toEqual(ring);
  expect(payloadKeysOfHome(home.dir, {})).toEqual(ring);
  expect(payloadKeysOfHome(home.dir, { SOULFRA_PAYLOAD_KEYS: `${first}` })).toEqual([first]);
  for (let keys = ring.length; keys < mostRingKeys; keys += 1) {
    beginRotation(home);
    endRotation(home, openSecrets(home));
  }
  expect(() => beginRotation(home)).toThrow(/retire the last/);
});

test('Temporal’s UI is told of the codec where payloads may be encoded, and of nothing else', () => {
  const given = { binary: 'temporal', port: 1, uiPort: 2, metricsPort: undefined, dbFile: 'temporal.db', env: {} };
  const told = (codecEndpoint?: string) =>
    temporalPart({ ...given, codecEndpoint }).args.filter((arg) => arg.startsWith('--ui-codec'));
  expect(told('http://127.0.0.1:17000/v1/codec')).toEqual(['--ui-codec-endpoint=http://127.0.0.1:17000/v1/codec']);
  expect(told()).toEqual([]);
});

test('while somebody changes the keys another is refused, by name; one that was killed is in nobody’s way', () => {
  const home = homeAt('locked');
  openSecrets(home);
  const lock = home.path('run', 'secrets.lock');
  writeFileSync(lock, JSON.stringify(processRef(process.pid)));
  expect(() => beginRotation(home)).toThrow(`process ${process.pid} changes the keys`);
  // Killed before a byte of it was written.
  writeFileSync(lock, '');
  beginRotation(home);
  expect(openSecrets(home).secretKeyOld).toBeDefined();
});

test('a key of the environment in the place of one that rotates: nothing is sealed anew, and no key is forgotten', async () => {
  const home = homeAt('environment');
  openSecrets(home);
  beginRotation(home);
  const secrets = openSecrets(home);
  // Whoever asks it has not understood: nothing listens there.
  const api = createApiClient({ url: 'http://127.0.0.1:1', token: '' });
  for (const name of ['SOULFRA_SECRET_KEY', 'SOULFRA_WEBHOOK_KEY_FILE']) {
    const told: string[] = [];
    const step = { progress: () => undefined, done: () => undefined, fail: (text: string) => void told.push(text) };
    const screen = { line: () => undefined, step: () => step };
    await finishRotation({ home, secrets, env: { [name]: 'theirs' } }, api, screen);
    expect(told).toEqual([
      `${name.replace('_FILE', '')} of the environment is in place of a key that rotates: start once without it; all keys of secrets.json are kept`,
    ]);
  }
  expect(openSecrets(home)).toEqual(secrets);
});

test('killed at any moment of rotations after rotations: the file is whole, and what was sealed still opens', async () => {
  const home = homeAt('killed');
  openSecrets(home);
  const program = fileURLToPath(new URL('../support/rotate-until-killed.ts', import.meta.url));
  for (let kill = 0; kill < 8; kill += 1) {
    const child = spawn(process.execPath, [program, home.dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    const gone = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await pause(Math.random() * 40);
    child.kill('SIGKILL');
    expect(await gone).toBe('SIGKILL');
    const { secretKey, secretKeyOld } = openSecrets(home);
    const sealed = readFileSync(home.path('sealed'));
    expect(secretBoxOf(secretKey, secretKeyOld)!.open(sealed, 'row')).toBe('whsec_quiet');
  }
}, 30_000);
