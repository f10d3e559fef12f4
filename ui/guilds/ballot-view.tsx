import { useParams } from '@tanstack/react-router';
import { useState } from 'react';
import type { Item, Thing } from '../client.ts';
import { counted, dateTime, decimal, share } from '../format.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Listed } from '../parts/listed.tsx';
import { AreaField } from '../parts/fields.tsx';
import { Meter } from '../parts/meter.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useAllPages, useApi, usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { text } from '../text.ts';
import { guildsText } from '../texts/guilds.ts';
import { type Choice, VoteControl, VoterField } from './vote-control.tsx';
import './guilds.css';

const words = guildsText;
type Voter = Item<'GET /v1/ballots/{id}/votes'>;
const microEgo = 1_000_000;
const shownAtOnce = 100;
/** Nothing more comes of it. */
const over = ['rejected', 'no_quorum', 'carried_out', 'effect_failed'];
const ego = (micro: number) => decimal(micro / microEgo);

/** One proposal: the question, the vote, how it stands, and who votes. */
export function BallotView() {
  const { ballotId = '' } = useParams({ strict: false });
  const ballot = useApi(
    'GET /v1/ballots/{id}',
    { path: { id: ballotId } },
    { everyMs: 5_000, isOver: ({ state }) => over.includes(state) },
  );
  return (
    <Page title={ballot.data?.title ?? words.ballot} lead={ballot.data && <Lead ballot={ballot.data} />}>
      <Shown of={ballot}>{(shown) => <Shows ballot={shown} />}</Shown>
    </Page>
  );
}

function Lead({ ballot: { state, closesAt, opensAt, reason, authorId } }: { ballot: Thing<'Ballot'> }) {
  return (
    <>
      <StateBadge state={state} /> {words.by(authorId)} ·{' '}
      {closesAt === null ? words.opensAt(dateTime(opensAt)) : words.closesAt(dateTime(closesAt))}
      {reason !== '' && ` · ${reason}`}
    </>
  );
}

function Shows({ ballot }: { ballot: Thing<'Ballot'> }) {
  const { id, state, text: says, effect, method, options } = ballot;
  const votes = useAllPages(
    'GET /v1/ballots/{id}/votes',
    { path: { id }, query: { limit: 200 } },
    { enabled: state !== 'discussion', ...(state === 'open' && { everyMs: 5_000 }) },
  );
  // Of some of the electorate a sum would be wrong.
  const all = votes.isWhole ? votes.rows : undefined;
  return (
    <>
      {says !== '' && <p className="said">{says}</p>}
      <p className="soft">
        {words.methods[method]} · {words.effects[effect.kind]}
      </p>
      {state === 'open' && <CastVote id={id} method={method} options={options} />}
      <Section title={words.standing}>
        {state === 'discussion' ? (
          <p className="faint">{words.notOpen}</p>
        ) : (
          <Shown of={{ data: all, error: votes.error, refetch: votes.refetch as never }}>
            {(voters) => <Tally ballot={ballot} voters={voters} />}
          </Shown>
        )}
      </Section>
      {ballot.tally !== null && <Recount id={id} />}
      <Remarks id={id} isOpen={state === 'discussion'} />
      {all && all.length > 0 && <Voters voters={all} options={options} />}
    </>
  );
}

/** The electorate, so many at first; the rest is there for who asks. */
function Voters({ voters, options }: { voters: Voter[]; options: readonly string[] }) {
  const [most, setMost] = useState(shownAtOnce);
  return (
    <Section title={words.voters}>
      <Table
        caption={words.voters}
        rows={voters.slice(0, most)}
        keyOf={({ voterId }) => voterId}
        columns={[
          { title: words.voter, cell: ({ voterId }) => voterId },
          { title: words.weight, cell: ({ weight }) => ego(weight), isNumber: true },
          { title: words.choice, cell: (voter) => choiceText(voter, options) },
          { title: words.reason, cell: ({ reason }) => reason },
        ]}
      />
      {voters.length > most && (
        <p>
          <Button onClick={() => setMost(most + shownAtOnce)}>{text.states.more}</Button>
        </p>
      )}
    </Section>
  );
}

function CastVote({ id, method, options }: Pick<Thing<'Ballot'>, 'id' | 'method' | 'options'>) {
  const [as, setAs] = useState('');
  const [reason, setReason] = useState('');
  const may = useMay('member');
  const toasts = useToasts();
  const vote = useWrite('PUT /v1/ballots/{id}/vote', {
    touches: ['GET /v1/ballots/{id}/votes', 'GET /v1/ballots/{id}'],
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

/** Of what was voted so far, as plain sums of weight; the tally of the method is counted when the vote is over. */
function Tally({ ballot, voters }: { ballot: Thing<'Ballot'>; voters: Voter[] }) {
  const { options, method, tally, weight, present, quorum, threshold, winner } = ballot;
  const scores = tally?.scores ?? options.map((_, i) => soFar(voters, i + 1, method));
  const most = tally?.base ?? scores.reduce((sum, score) => sum + score, 0);
  if (voters.length === 0 && tally === null) return <Empty title={words.noVotes} />;
  return (
    <div className="panel guilds-tally" aria-live="polite">
      {options.map((option, i) => (
        <Meter
          key={option}
          label={winner === i + 1 || (tally?.leader === i + 1 && winner === null) ? `${option} ✓` : option}
          value={scores[i] ?? 0}
          most={most}
          says={words.score(ego(scores[i] ?? 0), most === 0 ? share(0) : share((scores[i] ?? 0) / most))}
        />
      ))}
      <p className="soft">
        {weight !== null && weight > 0 && words.turnout(share(present / weight), share(quorum / 100))}{' '}
        {words.threshold(share(threshold / 100))}
      </p>
      <p className="faint">
        {tally === null
          ? words.live(counted(voters.filter(({ hasVoted }) => hasVoted).length, 'vote'))
          : words.counted(counted(tally.voters, 'vote'))}
      </p>
      {tally && tally.rounds.length > 1 && <p className="faint">{words.rounds(tally.rounds.length)}</p>}
    </div>
  );
}

function soFar(voters: readonly Voter[], option: number, method: Thing<'Ballot'>['method']): number {
  let sum = 0;
  for (const { choice, weight, hasVoted } of voters) {
    if (!hasVoted || choice === null) continue;
    if (typeof choice === 'number') sum += choice === option ? weight : 0;
    // Of a ranked vote the first choice, of an approval each.
    else if (Array.isArray(choice)) {
      const named = method === 'ranked' ? choice[0] === option : choice.includes(option);
      sum += named ? weight : 0;
    } else {
      const all = Object.values(choice).reduce((total, each) => total + each, 0);
      sum += all === 0 ? 0 : (weight * (choice[String(option)] ?? 0)) / all;
    }
  }
  return sum;
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
