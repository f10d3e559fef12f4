import { z } from 'zod';
import {
  downloadForm,
  type DownloadLink,
  downloadSeconds,
  linkContent,
  readLink,
} from '../../domain/download-links.ts';
import { DomainError } from '../../domain/errors.ts';
import { isPermitted, licenseRefused, permissionOf } from '../../domain/licenses.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { loopMediaType, signAnew } from '../../domain/loop-packages.ts';
import { databaseNow, type LicenseRow, readLicense } from '../../stores/license-rows.ts';
import { archiveByContent } from '../../stores/queries/loop-packages.ts';
import type { ApiContext } from '../context.ts';
import { licenseParams, packageHashSchema } from '../license-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { emptyBody, problemResponses, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const linkSchema = z
  .object({
    url: z.string().describe('Below this API; whoever has it may download'),
    expiresAt: timeSchema,
    contentHash: packageHashSchema,
  })
  .meta({ id: 'DownloadLink' });

/** The package of a license, by links that end; each download asks the license anew. */
export function downloadRoutes(app: Api, { db, signers, signingKeys }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/licenses/:id/download',
    config: { role: 'member' },
    schema: {
      tags: ['licenses'],
      summary: `A link to the package, for ${downloadSeconds / 60} minutes, while the license is VALID; nothing is written`,
      params: licenseParams,
      body: emptyBody,
      response: { 200: linkSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const license = await readLicense(db, request.params.id, { ownerId }, databaseNow);
      if (license.ownerId !== ownerId) throw new DomainError('FORBIDDEN', `only the holder of ${license.id} downloads`);
      refuseInvalid(license);
      const expiresAt = Math.floor(license.now / 1000) + downloadSeconds;
      const content = linkContent({ licenseId: license.id, holding: license.holding, expiresAt });
      const signature = (await signers.of(license.issuerId)).sign(signedBytes(content));
      return {
        url: `/v1/downloads/${content}.${Buffer.from(signature).toString('base64url')}`,
        expiresAt: new Date(expiresAt * 1000).toISOString(),
        contentHash: license.packageHash,
      };
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/downloads/:token',
    config: { role: 'none' },
    schema: {
      tags: ['licenses'],
      summary: 'The .loop file of a link, while the link and its license are valid',
      params: z.strictObject({ token: z.string() }),
      response: {
        200: { description: 'The file', content: { [loopMediaType]: { schema: z.string() } } },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const license = await licenseOf(request.params.token);
      refuseInvalid(license);
      const archive = await archiveOf(license);
      void reply
        .type(loopMediaType)
        .header('cache-control', 'private, no-store')
        .header('referrer-policy', 'no-referrer')
        .header('etag', `"${license.packageHash}"`)
        .header('content-disposition', `attachment; filename="${license.packageHash.slice(0, 12)}.loop"`);
      return reply.send(archive as never);
    },
  });

  /** @throws NOT_FOUND for what nobody signed, is over, or is of a holder before */
  async function licenseOf(token: string): Promise<LicenseRow> {
    const read = readLink(token);
    const license = read && (await found(read.link));
    if (!read || !license || !(await isSigned(license.issuerId, read.content, read.signature)))
      throw new DomainError('NOT_FOUND', 'no such link');
    const left = read.link.expiresAt * 1000 - license.now;
    // No link of ours has a later end, whoever signed this one.
    if (left <= 0 || left > downloadSeconds * 1000 || license.holding !== read.link.holding)
      throw new DomainError('NOT_FOUND', 'this link is over; ask for another');
    return license;
  }

  async function found({ licenseId }: DownloadLink): Promise<LicenseRow | undefined> {
    try {
      return await readLicense(db, licenseId, null, databaseNow);
    } catch (err) {
      if (err instanceof DomainError && err.code === 'NOT_FOUND') return undefined;
      throw err;
    }
  }

  /** By the issuer's key: one that was rotated meanwhile has signed links that are not over, and none after them. */
  async function isSigned(issuer: string, content: string, signature: string): Promise<boolean> {
    const mark = Buffer.from(signature, 'base64url');
    const keys = await signingKeys.signingWithin(issuer, downloadSeconds);
    return keys.some((publicKey) => hostCrypto.isSignedBy(publicKey, signedBytes(content), mark));
  }

  /** Signed by the key that the issuer has now: who pinned that one must not be given what a leaked one may have signed. */
  async function archiveOf({ id, issuerId, packageHash: contentHash }: LicenseRow): Promise<Uint8Array> {
    const kept = await archiveByContent(db, issuerId, contentHash);
    if (!kept) throw new DomainError('NOT_FOUND', `the package of ${id} is not here`);
    if (kept.isSignedNow) return kept.archive;
    const signer = await signers.of(issuerId);
    return signAnew(kept.archive, { contentHash, signer, sha256: hostCrypto.sha256 });
  }
}

function signedBytes(content: string): Buffer {
  return Buffer.from(`${downloadForm}.${content}`, 'ascii');
}

/** In its grace what is in use goes on, and nothing new is fetched. */
function refuseInvalid(license: LicenseRow): void {
  const code = permissionOf(license, license.now, { purpose: 'download' });
  if (!isPermitted(code)) throw licenseRefused(license.id, code);
}
