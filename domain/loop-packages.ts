import { z } from 'zod';
import { canonicalJson, type CanonicalValue } from './canonical-json.ts';
import { DomainError } from './errors.ts';
import { fieldError, invalidInput } from './field-errors.ts';
import { decodeUtf8, parseJsonText } from './json-text.ts';
import { createArchiveReader, type LoopMember, memberLimits, writeArchive } from './loop-archive.ts';
import {
  canonicalBytes,
  contentMembers,
  hashesOf,
  type LoopContent,
  type LoopManifest,
  loopManifestSchema,
  type LoopModel,
  type LoopNeeds,
  type LoopPersona,
  loopPersonaSchema,
  type LoopPrompts,
  loopPromptsSchema,
  mostLoopMemories,
} from './loop-manifest.ts';
import { type LoopLine, readLoopLines, type Sha256, writeLoopLines } from './loop-memories.ts';
import { signingKeyIdOf, signingKeyIdSchema } from './signing-keys.ts';

/** The `.loop` file, made and read: docs/loops.md. */
export const loopMediaType = 'application/octet-stream';

/** What signs and checks; crypto is the caller's, since the domain has none. */
export interface LoopChecks {
  sha256: Sha256;
  /** Ed25519. */
  isSignedBy: (publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => boolean;
}

/** Who signs: integrations/signing.ts. */
export interface LoopSigner {
  keyId: string;
  /** 32 bytes. */
  publicKey: Uint8Array;
  sign: (bytes: Uint8Array) => Uint8Array;
}

const signatureSchema = z.strictObject({
  algorithm: z.literal('Ed25519'),
  keyId: signingKeyIdSchema,
  publicKey: z.base64url(),
  signature: z.base64url(),
});

export interface LoopParts {
  agentId: string;
  persona: LoopPersona;
  prompts: LoopPrompts;
  lines: readonly LoopLine[];
  needs: LoopNeeds;
  models: readonly LoopModel[];
  madeFrom?: LoopContent['madeFrom'];
}

/** What a package holds before anybody signs it: for a preview, and to find one that is there already. */
export interface UnsignedLoop {
  content: Omit<LoopManifest, 'madeBy'>;
  members: Readonly<Record<Exclude<LoopMember, 'manifest.json' | 'signature.json'>, Uint8Array>>;
}

/** @throws INVALID_INPUT where more was chosen than a package takes */
export function assembleLoop(parts: LoopParts, sha256: Sha256): UnsignedLoop {
  const { agentId, persona, prompts, lines, needs, models, madeFrom } = parts;
  const members = {
    'persona.json': canonicalBytes(persona),
    'prompts.json': canonicalBytes(prompts),
    'memories.ndjson': new TextEncoder().encode(writeLoopLines(lines)),
  };
  refuseTooMuch(lines.length, members['memories.ndjson'].length);
  const content: LoopContent = {
    agentId,
    name: persona.name,
    memories: lines.length,
    reflections: lines.filter(({ type }) => type === 'reflection').length,
    needs,
    models: [...models],
    ...(madeFrom === undefined ? {} : { madeFrom }),
    members: contentMembers.map((name) => ({ name, size: members[name].length, sha256: sha256(members[name]) })),
  };
  return { content: { ...content, ...hashesOf(content, sha256) }, members };
}

function refuseTooMuch(memories: number, bytes: number): void {
  const limit = memberLimits['memories.ndjson'];
  if (memories <= mostLoopMemories && bytes <= limit) return;
  throw fieldError(
    'leastImportance',
    `must leave ${mostLoopMemories} memories and ${limit} bytes of them at most; they are ${memories} and ${bytes}`,
    'Choose fewer, by importance, kind or time.',
  );
}

/** The archive: the same parts and the same key give the same bytes. */
export function signLoop(
  { content, members }: UnsignedLoop,
  signer: LoopSigner,
): { manifest: LoopManifest; archive: Uint8Array } {
  const manifest: LoopManifest = { ...content, madeBy: { keyId: signer.keyId } };
  const signed = canonicalBytes(manifest);
  const signature = canonicalBytes({
    algorithm: 'Ed25519',
    keyId: signer.keyId,
    publicKey: base64url(signer.publicKey),
    signature: base64url(signer.sign(signed)),
  });
  return { manifest, archive: writeArchive({ ...members, 'manifest.json': signed, 'signature.json': signature }) };
}

export interface ReadLoop {
  manifest: LoopManifest;
  persona: LoopPersona;
  prompts: LoopPrompts;
  lines: LoopLine[];
  /** Whether the key that signed it was pinned here before. */
  trusted: boolean;
}

/**
 * Reads a package as it comes, and believes nothing before its signature: manifest, then signature, then each member by the
 * size and the hash that the manifest gives.
 * @param isPinned whether this key is trusted; a key that comes with a package never is
 * @throws MALFORMED_BODY, BODY_TOO_LARGE, INVALID_INPUT, LOOP_TAMPERED · KEY_NOT_PINNED unless `trustUnknown`
 */
export async function readLoop(
  stream: AsyncIterable<Uint8Array>,
  {
    checks,
    isPinned,
    trustUnknown = false,
  }: {
    checks: LoopChecks;
    isPinned: (keyId: string) => boolean;
    trustUnknown?: boolean;
  },
): Promise<ReadLoop> {
  const archive = createArchiveReader(stream);
  const manifestBytes = await archive.member('manifest.json');
  const manifest = jsonOf(manifestBytes, loopManifestSchema, 'manifest.json');
  const { keyId } = manifest.madeBy;
  refuseUnsigned(
    manifestBytes,
    jsonOf(await archive.member('signature.json'), signatureSchema, 'signature.json'),
    keyId,
    checks,
  );
  const trusted = isPinned(keyId);
  if (!trusted && !trustUnknown) {
    throw new DomainError('KEY_NOT_PINNED', `the package was signed with ${keyId}, which is not pinned here`);
  }
  const { format: _f, version: _v, agentHash, contentHash, madeBy: _m, ...content } = manifest;
  const hashes = hashesOf(content, checks.sha256);
  if (hashes.agentHash !== agentHash || hashes.contentHash !== contentHash)
    throw tampered('the hashes of its manifest are of another one');
  const members = new Map<string, Uint8Array>();
  for (const [i, name] of contentMembers.entries()) {
    const told = manifest.members[i]!;
    if (told.name !== name) throw tampered('its manifest names other members');
    const bytes = await archive.member(name, told.size);
    if (checks.sha256(bytes) !== told.sha256) throw tampered(`${name} is not what was signed`);
    members.set(name, bytes);
  }
  await archive.end();
  const persona = jsonOf(members.get('persona.json')!, loopPersonaSchema, 'persona.json');
  const prompts = jsonOf(members.get('prompts.json')!, loopPromptsSchema, 'prompts.json');
  const lines = readLoopLines(plainUtf8(members.get('memories.ndjson')!, 'memories.ndjson'), checks.sha256);
  const reflections = lines.filter(({ type }) => type === 'reflection').length;
  if (lines.length !== manifest.memories || reflections !== manifest.reflections || persona.name !== manifest.name) {
    throw tampered('its manifest tells of another content');
  }
  return { manifest, persona, prompts, lines, trusted };
}

/**
 * The same package under another key: its members do not change, so it stays the package that it is known as.
 * @param archive one that was made here; it is held against its own hashes once more
 * @throws LOOP_TAMPERED where it is not the package of this hash
 */
export async function signAnew(
  archive: Uint8Array,
  { contentHash, signer, sha256 }: { contentHash: string; signer: LoopSigner; sha256: Sha256 },
): Promise<Uint8Array> {
  const reader = createArchiveReader(
    (async function* () {
      yield archive;
    })(),
  );
  const manifest = jsonOf(await reader.member('manifest.json'), loopManifestSchema, 'manifest.json');
  await reader.member('signature.json');
  const { madeBy: _madeBy, ...content } = manifest;
  const { format: _f, version: _v, agentHash: _a, contentHash: told, ...hashed } = content;
  if (told !== contentHash || hashesOf(hashed, sha256).contentHash !== contentHash)
    throw tampered('it is another package');
  const members: Record<string, Uint8Array> = {};
  for (const { name, size, sha256: hash } of manifest.members) {
    const bytes = await reader.member(name, size);
    if (sha256(bytes) !== hash) throw tampered(`${name} is not what was signed`);
    members[name] = bytes;
  }
  await reader.end();
  return signLoop({ content, members: members as UnsignedLoop['members'] }, signer).archive;
}

function refuseUnsigned(
  signed: Uint8Array,
  { keyId, publicKey, signature }: z.output<typeof signatureSchema>,
  madeBy: string,
  { sha256, isSignedBy }: LoopChecks,
): void {
  const key = fromBase64url(publicKey);
  if (base64url(key) !== publicKey || base64url(fromBase64url(signature)) !== signature)
    throw tampered('its signature is not written as it must be');
  if (keyId !== madeBy || signingKeyIdOf(key, sha256) !== keyId)
    throw tampered('its key is not the one that its manifest names');
  if (!isSignedBy(key, signed, fromBase64url(signature))) throw tampered('its signature does not hold');
}

function jsonOf<Schema extends z.ZodType>(bytes: Uint8Array, schema: Schema, name: LoopMember): z.output<Schema> {
  const text = plainUtf8(bytes, name);
  const json = parseJsonText(text);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw invalidInput(parsed.error, json, schema, `${name}.`);
  // One meaning has one text, so that none stands behind another's hash.
  if (canonicalJson(parsed.data as CanonicalValue) !== text) throw tampered(`${name} is not written as it must be`);
  return parsed.data;
}

/** A byte order mark would be left out in reading, and the same content would have two forms. */
function plainUtf8(bytes: Uint8Array, name: LoopMember): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
    throw tampered(`${name} is not written as it must be`);
  return decodeUtf8(bytes);
}

function tampered(why: string): DomainError {
  return new DomainError('LOOP_TAMPERED', `the package is not as it was signed: ${why}`);
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

function fromBase64url(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
}
