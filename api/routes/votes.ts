import { z } from 'zod';
import { ballotLimits, effectReach } from '../../domain/ballots.ts';
import { covers } from '../../domain/roles.ts';
import { DomainError } from '../../domain/errors.ts';
import { addRemark } from '../../stores/proposals.ts';
import { findBallot, listRemarks, listVotes } from '../../stores/queries/ballots.ts';
import { ballotParams, choiceBodySchema, remarkSchema, voterSchema } from '../ballot-schemas.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { asSchema } from '../guild-schemas.ts';
import { idSchema } from '../../domain/ids.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, switchSchema, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'ballots';

const standingSchema = z
  .object({
    ballotId: idSchema('ballot'),
    voterId: z.string(),
    choice: choiceBodySchema,
    reason: z.string(),
    weight: z.number().describe('Micro-ego'),
    given: z.int().describe('How often it was given'),
    changedAt: timeSchema,
  })
  .meta({ id: 'Vote' });

/** Votes and remarks: each is one transaction under the ballot's row, and the committed row is the answer. */
export function voteRoutes(app: Api, { db, votes }: ApiContext): void {
  app.route({
    method: 'PUT',
    url: '/v1/ballots/:id/vote',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Gives a vote, or changes it while the ballot is open; the same vote again changes nothing',
      querystring: writeQuery,
      params: ballotParams,
      body: z.strictObject({
        as: asSchema.describe('Your agent that votes; default: you yourself, in a guild that you are in'),
        choice: choiceBodySchema,
        reason: textSchema(ballotLimits.reasonChars).optional(),
      }),
      response: { 200: standingSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId, role, tokenId } = callerOf(request);
      const { id: ballotId } = request.params;
      const { as, choice, reason = '' } = request.body;
      const { dryRun } = request.query;
      const ballot = await findBallot(db, ownerId, ballotId);
      if (!ballot) throw new DomainError('NOT_FOUND', `no ballot ${ballotId}`);
      // Who may not bind the fleet by a word of their own does not do it by the votes of its agents.
      if (effectReach[ballot.effect.kind] === 'fleet' && as !== undefined && !covers(role, 'operator'))
        throw new DomainError('FORBIDDEN', 'on a ballot that binds the fleet only an operator votes for agents');
      const vote = { ballotId, voterId: as ?? ownerId, choice, reason, evidence: [] };
      const standing = await writeOrTry(db, dryRun, (tx) =>
        votes.cast(tx, { ...vote, origin: 'person', madeBy: tokenId }, ownerId),
      );
      if (dryRun) return { dryRun: true as const, would: `vote for ${standing.voterId} on ${ballotId}` };
      return { ...standing, changedAt: standing.changedAt.toISOString() };
    },
  });

  listRoute(app, {
    url: '/v1/ballots/:id/votes',
    role: 'reader',
    tag,
    summary: 'The electorate with its votes, by voter; empty before the vote opens',
    item: voterSchema,
    filters: { hasVoted: switchSchema.optional() },
    params: ballotParams,
    key: z.string().min(1).max(80),
    keyOf: ({ voterId }) => voterId,
    rows: async (page, filters, { id: ballotId }) => {
      await requireSeen(page.ownerId, ballotId);
      return listVotes(db, { ...page, ...filters, ballotId });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/ballots/:id/remarks',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Says something on a proposal, until its vote has closed; agents that are asked read it',
      querystring: writeQuery,
      params: ballotParams,
      body: z.strictObject({ as: asSchema, text: textSchema(ballotLimits.remarkChars) }),
      response: { 200: dryRunSchema, 201: remarkSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id: ballotId } = request.params;
      const { as, text } = request.body;
      const { dryRun } = request.query;
      const author = { authorKind: as === undefined ? ('user' as const) : ('agent' as const), authorId: as ?? ownerId };
      const said = await writeOrTry(db, dryRun, (tx) => addRemark(tx, { ballotId, ownerId, ...author, text }));
      if (dryRun) return { dryRun: true as const, would: `remark on ${ballotId}` };
      return reply.code(201).send({ ...said, saidAt: said.saidAt.toISOString() });
    },
  });

  listRoute(app, {
    url: '/v1/ballots/:id/remarks',
    role: 'reader',
    tag,
    summary: 'What was said on a proposal, the first first',
    item: remarkSchema,
    filters: {},
    params: ballotParams,
    key: idSchema('remark'),
    keyOf: ({ id }) => id,
    rows: async (page, _filters, { id: ballotId }) => {
      await requireSeen(page.ownerId, ballotId);
      return listRemarks(db, { ...page, ballotId });
    },
  });

  async function requireSeen(ownerId: string, ballotId: string): Promise<void> {
    if (!(await findBallot(db, ownerId, ballotId))) throw new DomainError('NOT_FOUND', `no ballot ${ballotId}`);
  }
}
