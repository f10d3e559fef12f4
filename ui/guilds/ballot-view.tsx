import { useQueryClient } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import type { Item, Thing } from '../client.ts';
import { counted, dateTime, decimal, share } from '../format.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Listed } from '../parts/listed.tsx';
import { AreaField } from '../parts/fields.tsx';
import { Meter } from '../parts/meter.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, usePages, useWrite } from '../queries.ts';
import { useMay, useMe } from '../shell/me.ts';
import { guildsText } from '../texts/guilds.ts';
import { type Choice, VoteControl, VoterField } from './vote-control.tsx';
import './guilds.css';

const words = guildsText;
type Voter = Item<'GET /v1/ballots/{id}/votes'>;
const microEgo = 1_000_000;
/** No event tells of a vote. */
const votesEveryMs = 5_000;
const readUntilClosed = ['GET /v1/ballots/{id}/tally', 'GET /v1/ballots/{id}/votes'];
const ego = (micro: number) => decimal(micro / microEgo);

/** One proposal: the question, the vote, how it stands, and who votes. */
export function BallotView() {
  const { ballotId = '' } = useParams({ strict: false });
  const ballot = useApi(
    'GET /v1/ballots/{id}',
    { path: { id: ballotId } },
    { everyMs: votesEveryMs, isOver: ({ endedAt }) => endedAt !== null },
  );
  return (
    <Page title={ballot.data?.title ?? words.ballot} lead={ballot.data && <Lead ballot={ballot.data} />}>
      <Shown of={ballot}>{(shown) => <Shows ballot={shown} />}</Shown>
    </Page>
  );
}

function Lead({ ballot: { state, closesAt, opensAt, reason, authorId } }: { ballot: Thing<'Ballot'> }) {
  const me = useMe();
  return (
    <>
      <StateBadge state={state} /> {authorId === me?.userId ? words.byYou : words.by(authorId)} ·{' '}
      {closesAt === null ? words.opensAt(dateTime(opensAt)) : words.closesAt(dateTime(closesAt))}
      {reason !== '' && ` · ${reason}`}
    </>
  );
}

function Shows({ ballot }: { ballot: Thing<'Ballot'> }) {
  const { id, state, text: says, effect, method, options, closedAt } = ballot;
  const queries = useQueryClient();
  useEffect(() => {
    // What was read before the end is up to a clock's time too old, and the clock stops: once more, whoever is told by no event.
    if (closedAt === null) return;
    for (const reading of readUntilClosed) void queries.invalidateQueries({ queryKey: [reading] });
  }, [queries, closedAt]);
  return (
    <>
      {says !== '' && <p className="said">{says}</p>}
      <p className="soft">
        {words.methods[method]} · {words.effects[effect.kind]}
      </p>
      {state === 'open' && <CastVote id={id} method={method} options={options} />}
      <Section title={words.standing}>
        {state === 'discussion' ? <p className="faint">{words.notOpen}</p> : <Standing ballot={ballot} />}
      </Section>
      {ballot.tally !== null && <Recount id={id} />}
      <Remarks id={id} isOpen={state === 'discussion'} />
      {state !== 'discussion' && <Voters id={id} options={options} isOpen={state === 'open'} />}
    </>
  );
}

/** The electorate, page by page: its sum is the server's. */
function Voters({ id, options, isOpen }: { id: string; options: readonly string[]; isOpen: boolean }) {
  const votes = usePages(
    'GET /v1/ballots/{id}/votes',
    { path: { id }, query: { limit: 100 } },
    isOpen ? { everyMs: votesEveryMs } : {},
  );
  return (
    <Section title={words.voters}>
      <Listed of={votes} empty={<p className="faint">{words.noVoters}</p>}>
        {(voters) => (
          <Table
            caption={words.voters}
            rows={voters}
            keyOf={({ voterId }) => voterId}
            columns={[
              { title: words.voter, cell: ({ voterId }) => voterId },
              { title: words.weight, cell: ({ weight }) => ego(weight), isNumber: true },
              { title: words.choice, cell: (voter) => choiceText(voter, options) },
              { title: words.reason, cell: ({ reason }) => reason },
            ]}
          />
        )}
      </Listed>
    </Section>
  );
}

function CastVote({ id, method, options }: Pick<Thing<'Ballot'>, 'id' | 'method' | 'options'>) {
  const [as, setAs] = useState('');
  const [reason, setReason] = useState('');
  const may = useMay('member');
  const toasts = useToasts();
  const vote = useWrite('PUT /v1/ballots/{id}/vote', {
    touches: ['GET /v1/ballots/{id}/tally', 'GET /v1/ballots/{id}/votes', 'GET /v1/ballots/{id}'],
  });
  if (!may) return null;
  const send = (choice: Choice) =>
    vote.mutate(
      { path: { id }, body: { choice, ...(as === '' ? {} : { as }), ...(reason === '' ? {} : { reason }) } },
      { onSuccess: ({ weight }) => toasts.done(words.voted(ego(weight))) },
    );
  return (
    <Section title={words.yourVote}>
      <div className="panel form">
        <VoteControl method={method} options={options} isBusy={vote.isPending} onVote={send} />
        <details>
          <summary>{words.more}</summary>
          <div className="form">
            <VoterField value={as} onChange={setAs} />
            <AreaField
              label={words.reason}
              value={reason}
              maxLength={500}
              onChange={(event) => setReason(event.target.value)}
            />
          </div>
        </details>
        <div role="status">{vote.data && <p>{words.voted(ego(vote.data.weight))}</p>}</div>
        {vote.error && (
          <p className="field-error" role="alert">
            {vote.error.message}
          </p>
        )}
      </div>
    </Section>
  );
}

/** By the ballot's own method, counted by the server: of what was voted so far, or what it closed with. */
function Standing({ ballot }: { ballot: Thing<'Ballot'> }) {
  const { id, tally, endedAt } = ballot;
  const asked = useApi(
    'GET /v1/ballots/{id}/tally',
    { path: { id } },
    { enabled: tally === null, everyMs: votesEveryMs, isOver: ({ isFinal }) => isFinal || endedAt !== null },
  );
  // What it closed with comes with the ballot; the last count before that may lack votes.
  const closed = tally === null ? undefined : { ballotId: id, isFinal: true, tally };
  const standing = closed === undefined ? asked : { data: closed, error: null, refetch: asked.refetch };
  return <Shown of={standing}>{(shown) => <Tally ballot={ballot} standing={shown} />}</Shown>;
}

function Tally({ ballot, standing: { tally, isFinal } }: { ballot: Thing<'Ballot'>; standing: Thing<'Standing'> }) {
  const { options, weight, present, quorum, threshold, winner } = ballot;
  const { scores, base, leader, rounds, voters } = tally;
  return (
    <div className="panel guilds-tally" aria-live="polite">
      {options.map((option, i) => (
        <Meter
          key={option}
          label={(winner ?? leader) === i + 1 ? `${option} ✓` : option}
          value={scores[i] ?? 0}
          most={base}
          says={words.score(ego(scores[i] ?? 0), base === 0 ? share(0) : share((scores[i] ?? 0) / base))}
        />
      ))}
      <p className="soft">
        {weight !== null && weight > 0 && words.turnout(share(present / weight), share(quorum / 100))}{' '}
        {words.threshold(share(threshold / 100))}
      </p>
      <p className="faint">{(isFinal ? words.counted : words.live)(counted(voters, 'vote'))}</p>
      {rounds.length > 1 && <p className="faint">{words.rounds(rounds.length)}</p>}
    </div>
  );
}

function choiceText({ choice, hasVoted, follows, origin }: Voter, options: readonly string[]): React.ReactNode {
  if (!hasVoted)
    return follows === null ? (
      <span className="faint">–</span>
    ) : (
      <span className="faint">{words.follows(follows)}</span>
    );
  if (choice === null) return origin === 'absent' ? words.absent : words.abstained;
  if (typeof choice === 'number') return options[choice - 1];
  if (Array.isArray(choice)) return choice.map((number) => options[number - 1]).join(' › ');
  return Object.entries(choice)
    .map(([number, part]) => `${options[Number(number) - 1] ?? number}: ${part}`)
    .join(', ');
}

/** Counts the stored votes again and compares to the bit. */
function Recount({ id }: { id: string }) {
  const [isAsked, setAsked] = useState(false);
  const recount = useApi('GET /v1/ballots/{id}/recount', { path: { id } }, { enabled: isAsked });
  return (
    <p>
      <Button disabled={recount.isFetching} onClick={() => (isAsked ? void recount.refetch() : setAsked(true))}>
        {words.recount}
      </Button>{' '}
      <span role="status">
        {recount.data && (
          <Badge tone={recount.data.equal ? 'good' : 'bad'}>{recount.data.equal ? words.equal : words.differs}</Badge>
        )}
        {recount.error && <span className="field-error">{recount.error.message}</span>}
      </span>
    </p>
  );
}

function Remarks({ id, isOpen }: { id: string; isOpen: boolean }) {
  const remarks = usePages('GET /v1/ballots/{id}/remarks', { path: { id }, query: { limit: 100 } });
  const [said, setSaid] = useState('');
  const say = useWrite('POST /v1/ballots/{id}/remarks', { touches: ['GET /v1/ballots/{id}/remarks'] });
  return (
    <Section title={words.remarks}>
      <Listed of={remarks} empty={<p className="faint">{words.noRemarks}</p>}>
        {(items) => (
          <ul className="panel rows">
            {items.map((remark) => (
              <li key={remark.id}>
                <p className="said">{remark.text}</p>
                <p className="faint">
                  {remark.authorId} · <Time at={remark.saidAt} />
                </p>
              </li>
            ))}
          </ul>
        )}
      </Listed>
      {isOpen && (
        <div className="form">
          <AreaField
            label={words.remark}
            value={said}
            maxLength={2000}
            onChange={(event) => setSaid(event.target.value)}
            error={say.error?.message}
          />
          <div className="form-acts">
            <Button
              disabled={say.isPending || said.trim() === ''}
              onClick={() => say.mutate({ path: { id }, body: { text: said } }, { onSuccess: () => setSaid('') })}
            >
              {words.say}
            </Button>
          </div>
        </div>
      )}
    </Section>
  );
}
