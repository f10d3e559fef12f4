import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { fileSeconds, signedContent, signedForms } from '../../domain/license-files.ts';
import { signedText } from '../../integrations/signing.ts';
import { databaseNow, readLicense } from '../../stores/license-rows.ts';
import { openFile } from '../../stores/license-uses.ts';
import type { ApiContext } from '../context.ts';
import { licenseParams, useIdSchema } from '../license-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { createRevocationLists } from '../revocation-lists.ts';
import { problemResponses } from '../schemas.ts';
import type { Api } from '../types.ts';

const textAnswer = (description: string) => ({
  200: { description, content: { 'text/plain': { schema: z.string() } } },
  ...problemResponses,
});

/** What is verified offline: files of licenses, and the list of what is not to be honoured. */
export function licenseFileRoutes(app: Api, context: ApiContext): void {
  const { db, signers, principals } = context;
  const listOf = createRevocationLists(context);
  app.route({
    method: 'GET',
    url: '/v1/licenses/:id/file',
    config: { role: 'member' },
    schema: {
      tags: ['licenses'],
      summary:
        'A signed file that proves the license offline for a while; `soulfra license verify` and verifier/ read it',
      querystring: z.strictObject({
        ttlSeconds: z.coerce
          .number()
          .int()
          .min(fileSeconds.least)
          .max(fileSeconds.most)
          .default(fileSeconds.usual)
          .describe('How long it holds; the end of the license ends it sooner'),
        activationId: useIdSchema
          .optional()
          .describe('Whose place it holds in; needed where places or seats are counted'),
      }),
      params: licenseParams,
      response: textAnswer('SLF1.<content>.<signature>'),
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const { issuerId } = await readLicense(db, id, { ownerId }, databaseNow);
      // First, so that nothing is noted of a file that cannot be signed.
      const signer = await signers.of(issuerId);
      const file = await db.transaction().execute((tx) => openFile(tx, { licenseId: id, ownerId, ...request.query }));
      const text = signedText(signedForms.license, signedContent(file, signer.keyId), signer);
      return reply
        .type('text/plain; charset=utf-8')
        .header('content-disposition', `attachment; filename="${id}.license"`)
        .send(`${text}\n`);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/revocations',
    config: { role: 'none' },
    schema: {
      tags: ['licenses'],
      summary: 'Signed hashes of what an issuer has revoked or suspended while files of it may still hold',
      querystring: z.strictObject({
        issuer: idSchema('user').optional().describe('Default: the operator of this installation'),
      }),
      response: textAnswer('SLR1.<content>.<signature>'),
    },
    handler: async (request, reply) => {
      const issuer = request.query.issuer ?? (await principals.firstOperator());
      if (issuer === undefined) throw new DomainError('NOT_FOUND', 'nobody has issued files');
      return reply.type('text/plain; charset=utf-8').send(await listOf(issuer));
    },
  });
}
