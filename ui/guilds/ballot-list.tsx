import { Link } from '@tanstack/react-router';
import { StateBadge } from '../parts/badge.tsx';
import { Listed } from '../parts/listed.tsx';
import { Empty } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { usePages } from '../queries.ts';
import { useMe } from '../shell/me.ts';
import { guildsText } from '../texts/guilds.ts';

const words = guildsText;

export function BallotList({ guildId }: { guildId?: string }) {
  const me = useMe();
  const ballots = usePages('GET /v1/ballots', { query: { limit: 50, ...(guildId === undefined ? {} : { guildId }) } });
  return (
    <Listed of={ballots} empty={<Empty title={words.noBallots}>{words.noBallotsText}</Empty>}>
      {(items) => (
        <ul className="panel rows">
          {items.map(({ id, title, state, closesAt, opensAt, authorId }) => (
            <li key={id} className="guilds-ballot">
              <Link to="/ballots/$ballotId" params={{ ballotId: id }}>
                {title}
              </Link>
              <span className="faint">
                <StateBadge state={state} /> {authorId === me?.userId ? words.byYou : words.by(authorId)}{' '}
                {closesAt !== null ? (
                  <>
                    · {words.closes} <Time at={closesAt} />
                  </>
                ) : (
                  <>
                    · {words.opens} <Time at={opensAt} />
                  </>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Listed>
  );
}
