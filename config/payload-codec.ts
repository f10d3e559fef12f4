import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { DataConverter, Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { DomainError } from '../domain/errors.ts';

/**
 * What Temporal keeps of a payload where the codec is on: the whole of it under AES-256-GCM, and the id of the key. The form is that of
 * Temporal's own samples (`binary/encrypted`: nonce, then what is sealed with its tag), so that workers in other languages read it.
 */

/** What a process is given (docs/security.md#payloads). */
export interface PayloadSettings {
  /** 32 bytes each, base64url: the first encodes, all decode. */
  keys: readonly string[];
  /** Whether what this process hands to Temporal is encoded. Off, it still reads what was. */
  encodes: boolean;
}

/** Nothing is encoded, and nothing that is can be read. */
const plainPayloads: PayloadSettings = { keys: [], encodes: false };

export interface Payloads extends PayloadSettings {
  codec: PayloadCodec;
}

interface PayloadCodecOptions {
  /**
   * Called with the key's id before it encodes for the first time, or again after a long while, and until it has answered nothing is
   * handed over; then from time to time, so that whoever retires a key knows which are used still.
   */
  announce?: (keyId: string) => Promise<void>;
  /** @default the process's clock, in ms */
  now?: () => number;
  /** Called where a payload came under a key that this process has not. */
  onMissing?: (err: DomainError) => void;
}

const payloadProto = proto.temporal.api.common.v1.Payload;
const encoding = 'binary/encrypted';
const keyIdField = 'encryption-key-id';
/** A key by which nobody has encoded for longer than this may be retired. */
export const lastUseHoldsMs = 60 * 60_000;
const announceEveryMs = lastUseHoldsMs / 3;
/** Older than this it may be taken for retired before the next one is heard of. */
const announcedForMs = 2 * announceEveryMs;
const nonceBytes = 12;
const tagBytes = 16;

/** Made from the key, so that it cannot stand for another, and tells nothing of it. */
export function payloadKeyId(key: string): string {
  return createHash('sha256')
    .update('soulfra payload key')
    .update(Buffer.from(key, 'base64url'))
    .digest('hex')
    .slice(0, 16);
}

/** Encodes by the first key where it is on, decodes by all; what is not encoded passes as it is. */
export function createPayloads(settings = plainPayloads, options: PayloadCodecOptions = {}): Payloads {
  return { ...settings, codec: createPayloadCodec(settings, options) };
}

function createPayloadCodec(settings: PayloadSettings, options: PayloadCodecOptions): PayloadCodec {
  const ring = new Map(settings.keys.map((key) => [payloadKeyId(key), Buffer.from(key, 'base64url')]));
  const [first] = ring;
  const now = options.now ?? Date.now;
  /** Under way: once for all that come meanwhile. */
  let announcing: Promise<void> | undefined;
  let announcedAt = Number.NEGATIVE_INFINITY;

  /** A key that was announced lately is known, so nobody waits for the next time; a failure is tried again by whoever comes next. */
  async function announce(keyId: string): Promise<void> {
    const age = now() - announcedAt;
    if (age <= announceEveryMs) return;
    announcing ??= announceNow(keyId).finally(() => {
      announcing = undefined;
    });
    if (age > announcedForMs) return announcing;
    announcing.catch(() => undefined);
  }

  async function announceNow(keyId: string): Promise<void> {
    const at = now();
    await options.announce?.(keyId);
    announcedAt = at;
  }

  function opened(payload: Payload): Payload {
    if (textOf(payload, 'encoding') !== encoding) return payload;
    const id = textOf(payload, keyIdField);
    const key = ring.get(id);
    if (key === undefined) {
      const err = missingKeys([id]);
      options.onMissing?.(err);
      throw err;
    }
    // Plain fields: what crosses into the workflows' sandbox loses whatever stands on a prototype.
    const { metadata, data } = payloadProto.decode(openBy(key, id, payload.data ?? new Uint8Array()));
    return { metadata, data };
  }

  return {
    async encode(payloads) {
      if (!settings.encodes || first === undefined || payloads.length === 0) return payloads;
      const [id, key] = first;
      await announce(id);
      return payloads.map((payload) => ({
        metadata: { encoding: Buffer.from(encoding), [keyIdField]: Buffer.from(id) },
        data: sealBy(key, payloadProto.encode(payload).finish()),
      }));
    },
    decode: async (payloads) => payloads.map(opened),
  };
}

/** The one error where keys are lacking, whoever finds it. */
export function missingKeys(ids: readonly string[]): DomainError {
  const named = ids.map((id) => (/^[0-9a-f]{16}$/.test(id) ? id : 'without a name')).join(', ');
  const path = 'SOULFRA_PAYLOAD_KEYS';
  const rule = `lacks the key ${named}, under which payloads of this namespace are encoded`;
  const mend = `Put it into ${path} (or the file of ${path}_FILE) of this process, behind the first, and start it again.`;
  return new DomainError('PAYLOAD_KEY_MISSING', `${path} ${rule}`, { fields: [{ path, rule, mend }] });
}

/** Loaded by its path: by clients and workers, and into the bundle of workflows. */
export const encodedFailuresPath = fileURLToPath(new URL('../workflows/encoded-failures.ts', import.meta.url));

/** For clients and workers. Where payloads are encoded failures are, too: what a model or a service said stands in their words. */
export function dataConverterOf({ codec, encodes }: Payloads): DataConverter {
  return { payloadCodecs: [codec], ...(encodes && { failureConverterPath: encodedFailuresPath }) };
}

function textOf({ metadata }: Payload, name: string): string {
  const value = metadata?.[name];
  return value ? Buffer.from(value).toString('utf8') : '';
}

function sealBy(key: Uint8Array, bytes: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

/** @throws INVALID_INPUT where it is damaged, or was sealed under another key of that id */
function openBy(key: Uint8Array, id: string, sealed: Uint8Array): Buffer {
  try {
    const tagFrom = sealed.length - tagBytes;
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes });
    decipher.setAuthTag(sealed.subarray(tagFrom));
    return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, tagFrom)), decipher.final()]);
  } catch (cause) {
    throw new DomainError('INVALID_INPUT', `a payload under the key ${id} is damaged: it does not open by that key`, {
      cause,
    });
  }
}
