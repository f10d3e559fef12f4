import { createDecipheriv } from 'node:crypto';
import { type Payload, defaultPayloadConverter } from '@temporalio/common';
import { loadDataConverter } from '@temporalio/common/lib/internal-non-workflow/index.js';
import proto from '@temporalio/proto';
import { expect, test } from 'vitest';
import { apiEnvironment, workerEnvironment } from '../../config/environment.ts';
import { createPayloads, dataConverterOf, payloadKeyId } from '../../config/payload-codec.ts';
import { DomainError } from '../../domain/errors.ts';
import { mostRingKeys, keyRingOf, keyRingText } from '../../domain/key-ring.ts';

const keyOf = (byte: number) => Buffer.alloc(32, byte).toString('base64url');
const [first, second, third] = [keyOf(1), keyOf(2), keyOf(3)];
const values = [
  { persona: 'keeps the lamps of Wrenfield' },
  'plain',
  '',
  null,
  undefined,
  7,
  [],
  new Uint8Array([0, 255]),
];
const toPayload = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const codecOf = (keys: string[], encodes = true) => createPayloads({ keys, encodes }).codec;
const textOf = (payload: Payload) => Buffer.from(payload.data ?? []).toString('latin1');

test('whatever a workflow is given comes back as it was, and what is kept says nothing of it', async () => {
  const codec = codecOf([first]);
  const encoded = await codec.encode(values.map(toPayload));
  expect(encoded.map(textOf).join('')).not.toContain('Wrenfield');
  for (const { metadata } of encoded) {
    expect(Buffer.from(metadata!['encoding']!).toString()).toBe('binary/encrypted');
    expect(Buffer.from(metadata!['encryption-key-id']!).toString()).toBe(payloadKeyId(first));
  }
  const back = (await codec.decode(encoded)).map((payload) => defaultPayloadConverter.fromPayload(payload));
  expect(back).toEqual(values);
  // The same twice is not the same under the key.
  const [again] = await codec.encode([toPayload(values[0])]);
  expect(textOf(again!)).not.toBe(textOf(encoded[0]!));
});

test('the form is that of Temporal’s samples, so that workers in other languages read it', async () => {
  const [encoded] = await codecOf([first]).encode([toPayload('lamp')]);
  const sealed = Buffer.from(encoded!.data!);
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(first, 'base64url'), sealed.subarray(0, 12));
  decipher.setAuthTag(sealed.subarray(-16));
  const bytes = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
  expect(defaultPayloadConverter.fromPayload(proto.temporal.api.common.v1.Payload.decode(bytes))).toBe('lamp');
});

test('a payload grows by a little more than a hundred bytes, whatever it holds', async () => {
  for (const length of [0, 1_000, 1_000_000]) {
    const before = toPayload('x'.repeat(length));
    const [after] = await codecOf([first]).encode([before]);
    const size = (payload: Payload) => proto.temporal.api.common.v1.Payload.encode(payload).finish().length;
    expect(size(after!) - size(before)).toBeLessThan(160);
  }
});

test('the first key of a ring encodes and all decode; what was never encoded passes', async () => {
  const [old] = await codecOf([first]).encode([toPayload('old')]);
  const ring = codecOf([second, first]);
  const [now] = await ring.encode([toPayload('new')]);
  const plain = toPayload('before the codec was on');
  const decoded = await ring.decode([old!, now!, plain]);
  expect(decoded.map((payload) => defaultPayloadConverter.fromPayload(payload))).toEqual([
    'old',
    'new',
    'before the codec was on',
  ]);
  await expect(codecOf([first]).decode([now!])).rejects.toMatchObject({ code: 'PAYLOAD_KEY_MISSING' });
});

test('off it encodes nothing, and reads what was encoded', async () => {
  const [encoded] = await codecOf([first]).encode([toPayload('kept')]);
  const off = codecOf([first], false);
  const plain = toPayload('in the clear');
  expect(await off.encode([plain])).toEqual([plain]);
  expect(defaultPayloadConverter.fromPayload((await off.decode([encoded!]))[0]!)).toBe('kept');
});

test('words of a failure are a payload where payloads are encoded, also those of a service that the API hands on', () => {
  const failureOf = (encodes: boolean) => {
    const { failureConverter, payloadConverter } = loadDataConverter(
      dataConverterOf(createPayloads({ keys: [first], encodes })),
    );
    const failure = failureConverter.errorToFailure(new Error('the lamp of Wrenfield'), payloadConverter);
    return { failure, read: failureConverter.failureToError(failure, payloadConverter).message };
  };
  const { failure, read } = failureOf(true);
  expect([failure.message, failure.stackTrace, read]).toEqual(['Encoded failure', '', 'the lamp of Wrenfield']);
  expect(failureOf(false).failure.message).toBe('the lamp of Wrenfield');
});

test('a key that is lacking is named with its mend, and told to the process; a damaged payload is no missing key', async () => {
  const [encoded] = await codecOf([first]).encode([toPayload('lamp')]);
  const told: DomainError[] = [];
  const { codec } = createPayloads({ keys: [third], encodes: true }, { onMissing: (err) => told.push(err) });
  const err = await codec.decode([encoded!]).then(
    () => undefined,
    (failed: DomainError) => failed,
  );
  expect(err?.fields).toEqual([
    {
      path: 'SOULFRA_PAYLOAD_KEYS',
      rule: expect.stringContaining(payloadKeyId(first)),
      mend: expect.stringContaining('behind the first'),
    },
  ]);
  expect(told).toEqual([err]);
  const flipped = Buffer.from(encoded!.data!);
  flipped[flipped.length - 1]! ^= 1;
  const damaged = { ...encoded!, data: flipped };
  await expect(codecOf([first]).decode([damaged])).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  await expect(codecOf([first]).decode([{ ...encoded!, data: Buffer.alloc(3) }])).rejects.toMatchObject({
    code: 'INVALID_INPUT',
  });
  expect(told).toHaveLength(1);
});

test('a key is announced once before its first use, and nothing is encoded until it was', async () => {
  const asked: string[] = [];
  let answer: () => Promise<void> = () => Promise.reject(new Error('Temporal is away'));
  const { codec } = createPayloads(
    { keys: [first, second], encodes: true },
    {
      announce(keyId) {
        asked.push(keyId);
        return answer();
      },
    },
  );
  await expect(codec.encode([toPayload(1)])).rejects.toThrow('Temporal is away');
  answer = () => Promise.resolve();
  await Promise.all([codec.encode([toPayload(1)]), codec.encode([toPayload(2)])]);
  await codec.encode([toPayload(3)]);
  expect(asked).toEqual([payloadKeyId(first), payloadKeyId(first)]);
});

test('a key that goes on encoding is announced again from time to time, and waited for only after a long while', async () => {
  const minute = 60_000;
  let [clock, said] = [0, 0];
  let answer = Promise.withResolvers<void>();
  const { codec } = createPayloads(
    { keys: [first], encodes: true },
    {
      now: () => clock,
      announce() {
        said += 1;
        return answer.promise;
      },
    },
  );
  const encode = () => codec.encode([toPayload(1)]);
  const turn = () => new Promise((resolve) => void setImmediate(resolve));
  const begun = encode();
  answer.resolve();
  await begun;
  clock = 15 * minute;
  await encode();
  expect(said).toBe(1);
  answer = Promise.withResolvers();
  clock = 25 * minute;
  await Promise.all([encode(), encode()]);
  expect(said).toBe(2);
  answer.reject(new Error('Temporal is away'));
  await turn();
  // What failed is said by the next one again, whom it does not keep up.
  await encode();
  expect(said).toBe(3);
  await turn();
  answer = Promise.withResolvers();
  // It slept for so long that whoever retires keys might take this one for unused.
  clock = 55 * minute;
  let isHandedOver = false;
  const late = encode().then(() => (isHandedOver = true));
  await turn();
  expect([said, isHandedOver]).toEqual([4, false]);
  answer.resolve();
  await late;
  await encode();
  expect(said).toBe(4);
});

test('a ring is some keys, each once; it is asked for where the codec is on', () => {
  expect(keyRingOf(`${first},${second}\n ${third}\n`)).toEqual([first, second, third]);
  expect(keyRingOf(keyRingText([first, second]))).toEqual([first, second]);
  const many = Array.from({ length: mostRingKeys + 1 }, (_, i) => keyOf(i));
  for (const text of ['', ' , ', `${first},${first}`, `${first}x`, first.slice(1), many.join(',')])
    expect(keyRingOf(text), text).toBeUndefined();
  const servers = {
    DATABASE_URL: 'postgres://soulfra@127.0.0.1:17001/soulfra',
    REDIS_URL: 'redis://127.0.0.1:17002',
    TEMPORAL_ADDRESS: '127.0.0.1:17003',
  };
  for (const environment of [apiEnvironment, workerEnvironment]) {
    expect(environment(servers).payloads).toEqual({ keys: [], encodes: false });
    expect(environment({ ...servers, SOULFRA_PAYLOAD_KEYS: first }).payloads).toEqual({
      keys: [first],
      encodes: false,
    });
    const on = { ...servers, SOULFRA_PAYLOAD_CODEC: 'on' };
    expect(environment({ ...on, SOULFRA_PAYLOAD_KEYS: `${second},${first}` }).payloads).toEqual({
      keys: [second, first],
      encodes: true,
    });
    const faultOf = (variables: Record<string, string>): unknown => {
      try {
        environment(variables);
      } catch (err) {
        return err instanceof DomainError ? err.fields : err;
      }
      return undefined;
    };
    expect(faultOf(on)).toEqual([
      {
        path: 'SOULFRA_PAYLOAD_KEYS',
        rule: 'must be set where SOULFRA_PAYLOAD_CODEC is on',
        mend: expect.stringContaining('SOULFRA_PAYLOAD_KEYS_FILE'),
      },
    ]);
    const wrong = faultOf({ ...on, SOULFRA_PAYLOAD_KEYS: 'quiet-secret' });
    expect(wrong).toMatchObject([{ path: 'SOULFRA_PAYLOAD_KEYS', mend: expect.stringContaining('openssl rand') }]);
    expect(JSON.stringify(wrong)).not.toContain('quiet-secret');
  }
});
