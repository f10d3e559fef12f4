import { Link } from '@tanstack/react-router';
import type { Item } from '../client.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Shown } from '../parts/states.tsx';
import { useApi } from '../queries.ts';
import { agentText } from '../texts/agent.ts';

type Member = Item<'GET /v1/lineages'>;

/** The agent with its ancestors, brothers and children. */
export function LineageTree({ agentId }: { agentId: string }) {
  const lineage = useApi('GET /v1/lineages', { query: { agentId, limit: 200 } });
  return (
    <Shown of={lineage}>
      {({ items, nextCursor }) => {
        const ids = new Set(items.map(({ id }) => id));
        const roots = items.filter(({ parentId }) => parentId === null || !ids.has(parentId));
        return (
          <>
            <p className="soft">{items.length === 1 ? agentText.lineage.alone : agentText.lineage.says}</p>
            <ul className="lineage">
              {roots.map((root) => (
                <Branch key={root.id} of={root} all={items} chosen={agentId} />
              ))}
            </ul>
            {nextCursor !== null && <p className="faint">{agentText.lineage.more}</p>}
          </>
        );
      }}
    </Shown>
  );
}

function Branch({ of, all, chosen }: { of: Member; all: readonly Member[]; chosen: string }) {
  const children = all.filter(({ parentId }) => parentId === of.id);
  return (
    <li>
      {of.id === chosen ? (
        <strong aria-current="true">{of.name}</strong>
      ) : (
        <Link to="/agents/$id" params={{ id: of.id }}>
          {of.name}
        </Link>
      )}{' '}
      {of.state !== 'active' && <StateBadge state={of.state} />}
      {children.length > 0 && (
        <ul>
          {children.map((child) => (
            <Branch key={child.id} of={child} all={all} chosen={chosen} />
          ))}
        </ul>
      )}
    </li>
  );
}
