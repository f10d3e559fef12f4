import { generateKeyPairSync, sign } from 'node:crypto';
import { loopLines, type PackedMemory } from '../../domain/loop-memories.ts';
import type { LoopModel } from '../../domain/loop-manifest.ts';
import { assembleLoop, type LoopSigner, signLoop } from '../../domain/loop-packages.ts';
import { signingKeyIdOf } from '../../domain/signing-keys.ts';
import { hostCrypto } from '../../config/host-crypto.ts';

export function newSigner(): LoopSigner {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url');
  return {
    keyId: signingKeyIdOf(raw, hostCrypto.sha256),
    publicKey: raw,
    sign: (bytes) => sign(null, bytes, privateKey),
  };
}

/** A public observation of the agent's own; the rest as the test says. */
export function packed(id: string, more: Partial<PackedMemory> = {}): PackedMemory {
  return {
    id,
    own: true,
    kind: 'observation',
    text: `What ${id} tells.`,
    importance: 5,
    occurredAt: '2026-01-01T00:00:00.000Z',
    deleted: false,
    superseded: false,
    origin: 'public',
    evidence: [],
    replaced: [],
    quotes: false,
    source: 'test',
    validTo: null,
    modelId: '',
    promptVersion: '',
    ...more,
  };
}

const harmless: readonly LoopModel[] = [{ id: 'llama8b_q4', license: 'MIT', commercialUse: 'allowed' }];

export function unsignedLoop(memories: readonly PackedMemory[], models = harmless) {
  return assembleLoop(
    {
      agentId: 'vesper-001',
      persona: { name: 'Ava Lind', persona: 'Ava keeps the evening watch.', traits: ['calm'], mask: { seed: 7 } },
      prompts: { reflect: 'reflect/2', talk: 'talk/1' },
      lines: loopLines(memories, hostCrypto.sha256).lines,
      needs: {
        archetype: 'vesper',
        cadence: '6h',
        model: 'llama8b_q4',
        leastClass: '8g',
        mayDegrade: false,
        expectedTokens: 400,
        importanceThreshold: 150,
      },
      models: [...models],
    },
    hostCrypto.sha256,
  );
}

export function signedLoop(memories: readonly PackedMemory[], signer: LoopSigner): Buffer {
  return Buffer.from(signLoop(unsignedLoop(memories), signer).archive);
}

/** As a socket might bring it. */
export async function* inPieces(bytes: Uint8Array, size = bytes.length): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}
