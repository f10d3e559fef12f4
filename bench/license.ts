import { createPublicKey, generateKeyPairSync, randomBytes, verify as verifyByNode } from 'node:crypto';
import { signedContent, signedForms } from '../domain/license-files.ts';
import { openSigningKey, signedText } from '../integrations/signing.ts';
import { openVerifier } from '../verifier/index.js';

/**
 * What the whole verification of a license file (parse, canonical check, key look-up, signature, times, scope, revocation) costs
 * over the Ed25519 check alone of the same bytes by the same WebCrypto, in turn and in this one run; each round with a file of
 * its own, so that nothing is remembered. `over_node_verify` compares with Node's own synchronous check, which browsers lack.
 */
const rounds = 5_000;
const warmUp = 500;
const revoked = 10_000;

const issuer = 'usr_0192f0a0-0000-7000-8000-000000000001';
const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const signer = openSigningKey(pem);
const at = Math.floor(Date.now() / 1000);
const packageHash = randomBytes(32).toString('hex');
const hash = () => randomBytes(32).toString('hex');

function newFile(round: number): string {
  const file = {
    license: `lic_0192f0a0-0000-7000-8000-${String(round).padStart(12, '0')}`,
    kind: 'commercial',
    issuer,
    holder: 'usr_0192f0a0-0000-7000-8000-000000000002',
    package: packageHash,
    commercial: true,
    uses: null,
    activation: { id: `desk-${round}`, place: 'desk', seat: 'ada' },
    issuedAt: at,
    fileExpiresAt: at + 3_600,
    expiresAt: at + 7_200,
    graceUntil: at + 9_000,
    revocation: [hash(), hash()],
  };
  return signedText(signedForms.license, signedContent(file, signer.keyId), signer);
}

const list = {
  issuer,
  issuedAt: at,
  expiresAt: at + 86_400,
  revoked: Array.from({ length: revoked }, hash).sort(),
  suspended: [],
};
const others = Array.from({ length: 20 }, () => {
  const { publicKey, keyId } = openSigningKey(
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
  return { keyId, issuer: 'usr_other', publicKey: publicKey.toString('base64url') };
});
const verifier = await openVerifier({
  keys: [...others, { keyId: signer.keyId, issuer, publicKey: signer.publicKey.toString('base64url') }],
});
const revocations = await verifier.revocations(
  signedText(signedForms.revocations, signedContent(list, signer.keyId), signer),
);
const nodeKey = createPublicKey(pem);
const webKey = await crypto.subtle.importKey('raw', Uint8Array.from(signer.publicKey), 'Ed25519', false, ['verify']);

const spent = { whole: [] as number[], bare: [] as number[], node: [] as number[] };
async function timed(into: number[], work: () => boolean | Promise<boolean>): Promise<void> {
  const since = performance.now();
  const holds = await work();
  into.push(performance.now() - since);
  if (!holds) throw new Error('what was just signed does not hold');
}

for (let round = 0; round < rounds + warmUp; round += 1) {
  if (round === warmUp) for (const times of Object.values(spent)) times.length = 0;
  const text = newFile(round);
  const dot = text.lastIndexOf('.');
  const bytes = Uint8Array.from(Buffer.from(text.slice(0, dot), 'ascii'));
  const signature = Uint8Array.from(Buffer.from(text.slice(dot + 1), 'base64url'));
  const asked = { issuer, package: packageHash, place: 'desk', commercial: true, revocations };
  const steps = [
    () => timed(spent.whole, async () => (await verifier.verify(text, asked)).holds),
    () => timed(spent.bare, () => crypto.subtle.verify('Ed25519', webKey, signature, bytes)),
    () => timed(spent.node, async () => verifyByNode(null, bytes, nodeKey, signature)),
  ];
  // Each goes first as often as the others.
  for (let i = 0; i < steps.length; i += 1) await steps[(round + i) % steps.length]!();
}

const median = (times: number[]) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!;
const [whole, bare, node] = [median(spent.whole), median(spent.bare), median(spent.node)];
const rounded = (number: number) => Math.round(number * 1000) / 1000;
process.stdout.write(
  `${JSON.stringify({
    over_bare_verify: rounded(whole / bare),
    over_node_verify: rounded(whole / node),
    whole_us: rounded(whole * 1000),
    bare_us: rounded(bare * 1000),
    node_us: rounded(node * 1000),
    rounds,
    revoked_in_list: revoked,
    pinned_keys: others.length + 1,
  })}\n`,
);
