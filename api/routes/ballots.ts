import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { ballotLimits, effectReach, pauseSchema, voteTimeSchema, votingMethods } from '../../domain/ballots.ts';
import { covers } from '../../domain/roles.ts';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { durationSeconds } from '../../domain/durations.ts';
import { DomainError } from '../../domain/errors.ts';
import { ballotWorkflowId, idSchema } from '../../domain/ids.ts';
import { ballotStates } from '../../domain/states.ts';
import type { Tally } from '../../domain/tallies.ts';
import { countVotes, countVotesSoFar } from '../../stores/ballot-counts.ts';
import { ballotSettings, effectToVoteOn } from '../../stores/ballot-terms.ts';
import { type NewProposal, propose, withdrawProposal } from '../../stores/proposals.ts';
import { type BallotView, findBallot, listBallots } from '../../stores/queries/ballots.ts';
import { askedEffectSchema, ballotParams, ballotSchema, optionsSchema, tallySchema } from '../ballot-schemas.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { asSchema } from '../guild-schemas.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { createSharedReadings } from '../shared-readings.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'ballots';
const percentSchema = z.int().min(0).max(100);

/** Proposals and what becomes of them; votes are in routes/votes.ts. */
export function ballotRoutes(app: Api, { db, starter, linksTo }: ApiContext): void {
  const linked = (ballot: BallotView) => ({ ...ballot, links: linksTo(ballotWorkflowId(ballot.id)) });
  // Everybody who has an open ballot before them asks again and again.
  const counting = createSharedReadings<Tally>();

  app.route({
    method: 'POST',
    url: '/v1/ballots',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'A proposal: discussed, then voted on, then carried out; the same Idempotency-Key proposes once',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z.strictObject({
        title: textSchema(ballotLimits.titleChars),
        text: textSchema(ballotLimits.textChars).optional(),
        method: z.enum(votingMethods).default('single'),
        options: optionsSchema.default(['Yes', 'No']).describe('Default: Yes and No'),
        effect: askedEffectSchema.default({ kind: 'none' }),
        guildId: idSchema('guild').optional().describe('Whose members vote; default: all your living agents'),
        as: asSchema,
        discussion: pauseSchema.optional(),
        vote: voteTimeSchema.optional(),
        extension: pauseSchema.optional().describe('What is left of the vote at the least when the quorum is reached'),
        quorum: percentSchema.optional(),
        threshold: percentSchema.min(1).optional(),
      }),
      response: { 200: dryRunSchema, 201: ballotSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, role, tokenId } = callerOf(request);
      const { body } = request;
      const { title, effect, as, guildId = null } = body;
      if (effectReach[effect.kind] === 'fleet' && !covers(role, 'operator'))
        throw new DomainError('FORBIDDEN', `${effect.kind} binds the fleet, so only an operator proposes it`);
      if (new Set(body.options).size < body.options.length)
        throw new DomainError('INVALID_INPUT', 'options must differ', {
          fields: [{ path: 'options', rule: 'must differ', mend: 'Take out what stands there twice.' }],
        });
      const id = startedId('ballot', request);
      const requestHash = createHash('sha256')
        .update(canonicalJson(body as CanonicalValue))
        .digest();
      const isNew = await writeOrTry(db, request.query.dryRun, async (tx) => {
        const settings = await ballotSettings(tx);
        const seconds = (said: string | undefined, usual: string) => durationSeconds(said ?? usual);
        const terms = {
          discussionSeconds: seconds(body.discussion, settings.discussion),
          voteSeconds: seconds(body.vote, settings.vote),
          extensionSeconds: seconds(body.extension, settings.extension),
          quorum: body.quorum ?? settings.quorum,
          threshold: body.threshold ?? settings.threshold,
        };
        const known = await findBallot(tx, ownerId, id);
        // Asked again, what waited then may wait no more.
        const asked = { ...terms, ownerId, guildId, effect, options: body.options };
        const proposal: NewProposal = {
          id,
          ownerId,
          guildId,
          authorKind: as === undefined ? 'user' : 'agent',
          authorId: as ?? ownerId,
          title,
          text: body.text ?? '',
          method: body.method,
          options: body.options,
          effect: known?.effect ?? (await effectToVoteOn(tx, asked, settings)),
          ...terms,
          lineageShare: settings.lineageShare,
          askedAgents: settings.askedAgents,
          votesPerHour: settings.votesPerHour,
          requestHash,
          madeBy: tokenId,
        };
        return propose(tx, proposal);
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `propose “${title}”` };
      if (!isNew) void reply.header('idempotent-replayed', 'true');
      void reply.header('location', `/v1/ballots/${id}`);
      return reply.code(201).send(linked(await existing(ownerId, id)));
    },
  });

  listRoute(app, {
    url: '/v1/ballots',
    role: 'reader',
    tag,
    summary: 'Ballots that you may see, the last proposed first',
    item: ballotSchema,
    filters: {
      state: z.enum(ballotStates).optional(),
      authorId: z.string().max(80).optional(),
      guildId: idSchema('guild').optional(),
    },
    params: z.object({}),
    key: idSchema('ballot'),
    keyOf: ({ id }) => id,
    rows: async (page, filters) => (await listBallots(db, { ...page, ...filters })).map(linked),
  });

  app.route({
    method: 'GET',
    url: '/v1/ballots/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One ballot; its tally once it has closed',
      params: ballotParams,
      response: { 200: ballotSchema, ...problemResponses },
    },
    handler: async (request) => linked(await existing(callerOf(request).ownerId, request.params.id)),
  });

  app.route({
    method: 'POST',
    url: '/v1/ballots/:id/withdraw',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Ends a ballot that you proposed before it has closed',
      querystring: writeQuery,
      params: ballotParams,
      body: emptyBody,
      response: { 200: ballotSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId, tokenId } = callerOf(request);
      const { id } = request.params;
      const { dryRun } = request.query;
      await writeOrTry(db, dryRun, (tx) => withdrawProposal(tx, { ballotId: id, ownerId, by: tokenId }));
      if (dryRun) return { dryRun: true as const, would: `withdraw ${id}` };
      await starter.tellRowsChanged(ballotWorkflowId(id));
      return linked(await existing(ownerId, id));
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/ballots/:id/tally',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary:
        'How it stands: of a closed ballot its tally; before, what the votes given so far come to by its method, those of who follows another included',
      params: ballotParams,
      response: {
        200: z
          .object({
            ballotId: idSchema('ballot'),
            isFinal: z.boolean().describe('Whether it is the tally that the ballot closed with'),
            tally: tallySchema,
          })
          .meta({ id: 'Standing' }),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const ballot = await existing(callerOf(request).ownerId, request.params.id);
      const { id, tally: stored } = ballot;
      const tally = stored ?? (await counting(id, () => countVotesSoFar(db, ballot)));
      return { ballotId: id, isFinal: stored !== null, tally };
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/ballots/:id/recount',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'Counts the stored votes of a closed ballot anew, and says whether it comes to the same to the last bit',
      params: ballotParams,
      response: {
        200: z.object({ ballotId: idSchema('ballot'), equal: z.boolean(), stored: tallySchema, counted: tallySchema }),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const ballot = await existing(callerOf(request).ownerId, request.params.id);
      const { id, state, tally: stored } = ballot;
      if (stored === null) throw new DomainError('CONFLICT', `${id} is ${state} and has no tally`);
      const counted = await countVotes(db, ballot);
      // By Object.is: Postgres keeps the shortest text of a double, which reads back as the same double.
      return { ballotId: id, equal: isDeepStrictEqual(stored, counted), stored, counted };
    },
  });

  async function existing(ownerId: string, id: string): Promise<BallotView> {
    const found = await findBallot(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no ballot ${id}`);
    return found;
  }
}
