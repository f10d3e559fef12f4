import { dateTime, decimal, fine } from '../format.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Failed, Loading } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useApi } from '../queries.ts';
import { agentText } from '../texts/agent.ts';

const words = agentText.drift;
const width = 600;
const height = 96;

/** How far the agent stood from its persona, rating by rating, and the same as a table. */
export function DriftLine({ agentId }: { agentId: string }) {
  const ratings = useApi('GET /v1/agents/{id}/drift', { path: { id: agentId }, query: { limit: 60 } });
  if (ratings.data === undefined)
    return ratings.error ? <Failed error={ratings.error} onAgain={() => void ratings.refetch()} /> : <Loading />;
  const items = ratings.data.items.toReversed();
  const last = items.at(-1);
  if (last === undefined) return <p className="faint">{words.none}</p>;
  const most = Math.max(0.01, ...items.map(({ drift }) => drift));
  const at = (i: number, drift: number) =>
    `${items.length === 1 ? width / 2 : (i / (items.length - 1)) * width} ${height - 8 - (drift / most) * (height - 16)}`;
  return (
    <figure className="agent-drift">
      <figcaption>
        <h3>{words.title}</h3>
        <p className="soft small">{words.says(decimal(last.drift), last.state, last.reason)}</p>
      </figcaption>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={words.title} preserveAspectRatio="none">
        <path d={`M${items.map(({ drift }, i) => at(i, drift)).join('L')}`} className="agent-drift-line" />
      </svg>
      <details>
        <summary>{words.table}</summary>
        <Table
          caption={words.title}
          rows={items}
          keyOf={({ id }) => id}
          columns={[
            { title: words.when, cell: ({ ratedAt }) => dateTime(ratedAt) },
            { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
            { title: words.drift, cell: ({ drift }) => fine(drift), isNumber: true },
            { title: words.reason, cell: ({ reason }) => reason },
          ]}
        />
      </details>
    </figure>
  );
}
