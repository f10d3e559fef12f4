import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { readStripeEvent } from '../../integrations/payments/stripe-events.ts';
import type { ApiContext } from '../context.ts';
import { dryRunSchema, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

/** Stripe's own events stay far below it. */
const mostBytes = 256 * 1024;

const receivedSchema = z.object({
  id: z.string().describe('The id of the event'),
  known: z.boolean().describe('It came before: nothing is done twice'),
});

/** What payment providers tell: signed over the bytes as they came, kept once, settled by a workflow of its own. */
export function paymentEventRoutes(app: Api, { paymentEvents, principals, stripeWebhookSecret }: ApiContext): void {
  app.register(async (scope) => {
    // The signature is over the bytes: JSON that was read and written again is another text.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      'application/json',
      { parseAs: 'buffer', bodyLimit: mostBytes },
      (_request, body, done) => done(null, body),
    );
    (scope as unknown as Api).route({
      method: 'POST',
      url: '/v1/payments/stripe/events',
      config: { role: 'none' },
      bodyLimit: mostBytes,
      schema: {
        tags: ['payments'],
        summary: 'An event of Stripe, signed with the secret of its webhook; docs/marketplace.md',
        querystring: writeQuery,
        response: { 200: receivedSchema.or(dryRunSchema), ...problemResponses },
      },
      handler: async (request) => {
        if (stripeWebhookSecret === undefined)
          throw new DomainError('PAYMENTS_NOT_SET_UP', 'STRIPE_WEBHOOK_SECRET is not set for the API');
        const signature = request.headers['stripe-signature'];
        const body = request.body as Buffer | undefined;
        const event =
          typeof signature !== 'string' || body === undefined
            ? undefined
            : readStripeEvent(body, signature, stripeWebhookSecret, new Date());
        // Which of all it was is for nobody to learn.
        if (event === undefined) throw new DomainError('UNAUTHENTICATED', 'the signature does not fit');
        const ownerId = await principals.firstOperator();
        if (ownerId === undefined) throw new DomainError('INTERNAL', 'there is no operator');
        if (request.query.dryRun) return { dryRun: true as const, would: `settle ${event.type} ${event.id}` };
        const { id, at: happenedAt, ...told } = event;
        const fresh = await paymentEvents.receive({ ...told, provider: 'stripe', id, ownerId, happenedAt });
        return { id, known: !fresh };
      },
    });
  });
}
