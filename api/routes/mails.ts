import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { mailOutcomes, mailStates, mailTemplates } from '../../domain/mails.ts';
import { findMail, listMails } from '../../stores/queries/mails.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const mailSchema = z
  .object({
    id: idSchema('mail'),
    template: z.enum(mailTemplates),
    templateVersion: z.int(),
    userId: idSchema('user').nullable(),
    address: z.string().nullable().describe('null: it was to nobody, or to a user who is deleted'),
    state: z.enum(mailStates).describe('unconfirmed: it left and no answer came'),
    reason: z.string(),
    queuedAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Mail' });

const mailDetailSchema = mailSchema
  .extend({
    attempts: z.array(
      z.object({
        attempt: z.int(),
        beganAt: timeSchema,
        endedAt: timeSchema.nullable(),
        outcome: z.enum(mailOutcomes).nullable(),
        answer: z.string().describe('Of the mail server, or what broke'),
      }),
    ),
  })
  .meta({ id: 'MailDetail' });

const params = z.strictObject({ id: idSchema('mail') });

export function mailRoutes(app: Api, { db, mails }: ApiContext): void {
  listRoute(app, {
    url: '/v1/mails',
    role: 'operator',
    tag: 'mails',
    summary: 'What was to be mailed, the last first; the words of a mail are not kept',
    item: mailSchema,
    filters: { state: z.enum(mailStates).optional() },
    params: z.object({}),
    key: idSchema('mail'),
    keyOf: (mail) => mail.id,
    rows: (page, { state }) => listMails(db, { ...page, state }),
  });

  app.route({
    method: 'GET',
    url: '/v1/mails/:id',
    config: { role: 'operator' },
    schema: {
      tags: ['mails'],
      summary: 'A mail with every try to send it',
      params,
      response: { 200: mailDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const mail = await findMail(db, callerOf(request).ownerId, request.params.id);
      if (!mail) throw new DomainError('NOT_FOUND', `no mail ${request.params.id}`);
      return mail;
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/mails/:id/resend',
    config: { role: 'operator' },
    schema: {
      tags: ['mails'],
      summary: 'Sends one again that failed or was not confirmed; a receipt then says that it is a copy',
      querystring: writeQuery,
      params,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: mailSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const mail = await writeOrTry(db, request.query.dryRun, async (tx) => {
        await mails.resend(tx, ownerId, id);
        return findMail(tx, ownerId, id);
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `send ${id} again` };
      return reply.code(202).send(mail!);
    },
  });
}
