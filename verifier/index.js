/** Verifies license files and revocation lists of Soulfra. It needs WebCrypto with Ed25519 and nothing else; README.md says how to use it. */

const licenseForm = 'SLF1';
const revocationsForm = 'SLR1';
/** Longer texts are none of ours: a license is under 2 kB, a list under 100 bytes an entry. */
const longest = { [licenseForm]: 16_384, [revocationsForm]: 16_777_216 };
const algorithm = 'Ed25519';

const explanations = {
  VALID: 'the license holds',
  IN_GRACE: 'the license is over its term; it still holds for a while',
  REDEEM_ONLINE: 'the license is genuine, but its uses are counted: redeem one',
  MALFORMED: 'this is no license file, or it was cut or changed',
  KEY_UNKNOWN: 'it is signed by a key that is not pinned here',
  SIGNATURE_INVALID: 'the signature does not fit: it was changed, or signed by somebody else',
  CLOCK_SET_BACK: 'it was issued later than the clock of this computer says it is',
  REVOCATIONS_INVALID: 'the revocation list was not verified, or is of another issuer',
  REVOCATIONS_STALE: 'the revocation list is over its time: get a new one',
  REVOKED: 'the license was taken back',
  SUSPENDED: 'the license is suspended',
  EXPIRED: 'the license is over its term',
  FILE_EXPIRED: 'the file is over its time: get a new one of the same license',
  SCOPE_MISSING: 'the license does not cover what is asked for, or is of another issuer than asked for',
};
export const codes = Object.freeze(Object.keys(explanations));

/**
 * Keys that were pinned, ready to verify with. Nothing that comes with a license is ever taken for a key.
 * @param {{ keys: import('./index.d.ts').PinnedKey[], clockSkewSeconds?: number }} options
 */
export async function openVerifier({ keys, clockSkewSeconds = 60 }) {
  // Compared with what is no number, every time would be fine.
  refuseUnlessTime({ clockSkewSeconds });
  if (clockSkewSeconds < 0) throw new TypeError('clockSkewSeconds is less than 0');
  const pinned = new Map();
  for (const { keyId, issuer, publicKey } of keys) {
    const raw = bytesOf(publicKey);
    if (raw?.length !== 32) throw new TypeError(`the key ${keyId} is not 32 bytes as base64url`);
    if (typeof issuer !== 'string' || issuer === '') throw new TypeError(`the key ${keyId} names no issuer`);
    if (keyId !== (await keyIdOf(raw))) throw new TypeError(`${keyId} is not the id of its key`);
    if (pinned.has(keyId) && pinned.get(keyId).issuer !== issuer) throw new TypeError(`${keyId} has two issuers`);
    const key = await crypto.subtle.importKey('raw', raw, algorithm, false, ['verify']);
    pinned.set(keyId, { issuer, key });
  }
  const issuers = new Set(Array.from(pinned.values(), ({ issuer }) => issuer));
  const onlyIssuer = issuers.size === 1 ? [...issuers][0] : undefined;
  /** What is in lists that were verified here: an object that only looks like one opens nothing. */
  const lists = new WeakMap();

  /** The signed content, or the code of why there is none. Nothing in it counts before the signature does. */
  async function openText(text, form, isSound) {
    const parsed = parse(text, form);
    if (parsed === undefined) return { code: 'MALFORMED' };
    const { content, signed, signature } = parsed;
    const pin = pinned.get(content.keyId);
    if (pin === undefined) return { code: 'KEY_UNKNOWN' };
    const fits = await crypto.subtle.verify(algorithm, pin.key, signature, signed);
    // A key signs for its own issuer alone, whoever it says the issuer is.
    if (!fits || content.issuer !== pin.issuer) return { code: 'SIGNATURE_INVALID' };
    if (!isSound(content)) return { code: 'MALFORMED' };
    return { code: 'VALID', content };
  }

  return {
    /** Verifies a license file. @returns {Promise<import('./index.d.ts').Verdict>} */
    async verify(text, { now = Date.now(), knownTime = 0, ...asked } = {}) {
      refuseUnlessTime({ now, knownTime });
      const { code, content } = await openText(text, licenseForm, isLicense);
      if (code !== 'VALID') return verdict(code);
      return verdict(judge(content, { now, knownTime, ...asked }), content);
    },

    /** Verifies a revocation list. @returns {Promise<import('./index.d.ts').Revocations>} */
    async revocations(text, { now = Date.now() } = {}) {
      refuseUnlessTime({ now });
      const { code, content } = await openText(text, revocationsForm, isRevocations);
      if (code !== 'VALID') return Object.freeze({ ...verdict(code), license: undefined });
      const { issuer, issuedAt, expiresAt, revoked, suspended } = content;
      const state =
        now / 1000 + clockSkewSeconds < issuedAt
          ? 'CLOCK_SET_BACK'
          : now / 1000 >= expiresAt
            ? 'REVOCATIONS_STALE'
            : 'VALID';
      const list = Object.freeze({ ...verdict(state), issuer, issuedAt, expiresAt });
      lists.set(list, { issuer, issuedAt, expiresAt, revoked: new Set(revoked), suspended: new Set(suspended) });
      return list;
    },
  };

  function judge(license, { now, knownTime, revocations, issuer = onlyIssuer, ...scope }) {
    // Whoever is pinned can sign a license of any package: whose it must be is for the one who asks to say.
    if (license.issuer !== issuer) return 'SCOPE_MISSING';
    const seconds = now / 1000;
    const list = revocations === undefined ? undefined : lists.get(revocations);
    if (revocations !== undefined && list?.issuer !== license.issuer) return 'REVOCATIONS_INVALID';
    const passed = Math.max(license.issuedAt, knownTime / 1000, list?.issuedAt ?? 0);
    if (seconds + clockSkewSeconds < passed) return 'CLOCK_SET_BACK';
    if (license.revocation.some((hash) => list?.revoked.has(hash))) return 'REVOKED';
    if (list !== undefined && seconds >= list.expiresAt) return 'REVOCATIONS_STALE';
    if (license.revocation.some((hash) => list?.suspended.has(hash))) return 'SUSPENDED';
    const inTerm = license.expiresAt === null || seconds < license.expiresAt;
    if (!inTerm && seconds >= (license.graceUntil ?? license.expiresAt)) return 'EXPIRED';
    if (seconds >= license.fileExpiresAt) return 'FILE_EXPIRED';
    if (!covers(license, scope)) return 'SCOPE_MISSING';
    if (license.uses !== null) return 'REDEEM_ONLINE';
    return inTerm ? 'VALID' : 'IN_GRACE';
  }
}

/** @throws TypeError for NaN, Infinity, texts and the like, which no comparison would refuse */
function refuseUnlessTime(times) {
  for (const [name, value] of Object.entries(times))
    if (!Number.isFinite(value)) throw new TypeError(`${name} is no number`);
}

/** A file of an activation holds in its place only, also where the caller forgot to say which that is. */
function covers(license, { package: wanted, place, commercial = false }) {
  if (wanted !== undefined && wanted !== license.package) return false;
  if (commercial && !license.commercial) return false;
  return license.activation === null || license.activation.place === place;
}

function verdict(code, license) {
  return { code, holds: code === 'VALID' || code === 'IN_GRACE', explanation: explanations[code], license };
}

/** `FORM.<base64url of canonical JSON>.<base64url of the signature>`; the signature is over all before the last dot. */
function parse(text, form) {
  if (typeof text !== 'string' || text.length > longest[form]) return undefined;
  const [named, payload, last, ...more] = text.trim().split('.');
  if (named !== form || payload === undefined || last === undefined || more.length > 0) return undefined;
  const json = bytesOf(payload);
  const signature = bytesOf(last);
  if (json === undefined || signature?.length !== 64) return undefined;
  let content;
  try {
    const written = utf8.decode(json);
    content = JSON.parse(written);
    if (!isRecord(content) || !isCanonical(content, written)) return undefined;
  } catch {
    return undefined;
  }
  return { content, signature, signed: encoder.encode(`${form}.${payload}`) };
}
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * One text for one content: two keys of one name, say, would be read differently by different programs. What JavaScript keeps in
 * order anyway need not be written anew piece by piece, which takes long.
 */
function isCanonical(content, written) {
  return (isOrdered(content) && JSON.stringify(content) === written) || canonical(content) === written;
}

function isOrdered(value) {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isOrdered);
  let before;
  for (const name in value) {
    if ((before !== undefined && before >= name) || !isOrdered(value[name])) return false;
    before = name;
  }
  return true;
}

/** Keys sorted by their UTF-16 units, no white space. @throws TypeError for what a license never holds, such as fractions */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (isRecord(value)) {
    const members = Object.keys(value).sort();
    return `{${members.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
  }
  if (typeof value === 'number' && (!Number.isSafeInteger(value) || Object.is(value, -0)))
    throw new TypeError('number');
  return JSON.stringify(value);
}

/** @returns undefined for what is not the one base64url text of its bytes */
function bytesOf(text) {
  if (typeof text !== 'string' || text === '' || text.length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let held = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < text.length; i += 1) {
    const value = values[text.charCodeAt(i)] ?? -1;
    if (value < 0) return undefined;
    held = (held << 6) | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at] = held >> bits;
    held &= (1 << bits) - 1;
    at += 1;
  }
  // Bits of the last letter that mean nothing must be 0, or one signature would have several texts.
  return held === 0 ? bytes : undefined;
}
/** By character code; what stands nowhere else is -1. */
const values = new Int8Array(128).fill(-1);
Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', (letter, i) => {
  values[letter.charCodeAt(0)] = i;
});

async function keyIdOf(raw) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', raw));
  return `key_${Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === 'string' && value !== '';
const isTime = (value) => Number.isSafeInteger(value) && value >= 0;
const orNull = (is) => (value) => value === null || is(value);
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isActivation = (value) => isRecord(value) && isText(value.id) && isText(value.place) && isText(value.seat);

const licenseShape = {
  activation: orNull(isActivation),
  commercial: (value) => typeof value === 'boolean',
  expiresAt: orNull(isTime),
  fileExpiresAt: isTime,
  graceUntil: orNull(isTime),
  holder: isText,
  issuedAt: isTime,
  kind: isText,
  license: isText,
  package: isText,
  revocation: isTexts,
  uses: orNull(isTime),
};
const licenseFields = Object.entries(licenseShape);
const isLicense = (content) => licenseFields.every(([name, is]) => is(content[name]));

function isRevocations({ issuedAt, expiresAt, revoked, suspended }) {
  if (!isTime(issuedAt) || !isTime(expiresAt)) return false;
  return isTexts(revoked) && isTexts(suspended);
}
