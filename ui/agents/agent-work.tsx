import { Link } from '@tanstack/react-router';
import { StateBadge } from '../parts/badge.tsx';
import { Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useApi } from '../queries.ts';
import { text } from '../text.ts';

const words = text.agent.work;

/** What the agent has posted, and your licenses of the loop packages made of it. */
export function AgentWork({ agentId }: { agentId: string }) {
  const drops = useApi('GET /v1/drops', { query: { agentId, limit: 20 } });
  const loops = useApi('GET /v1/loops', { query: { agentId, limit: 200 } });
  const licenses = useApi('GET /v1/licenses', { query: { limit: 200 } }, { enabled: loops.data !== undefined });
  const hashes = new Set(loops.data?.items.map(({ contentHash }) => contentHash));
  const own = licenses.data?.items.filter(({ packageHash }) => hashes.has(packageHash));
  return (
    <>
      <Section title={words.drops}>
        <Shown of={drops} isEmpty={({ items }) => items.length === 0} empty={<Empty title={words.noDrops} />}>
          {({ items }) => (
            <ul className="rows panel">
              {items.map(({ id, title, body, state, createdAt }) => (
                <li key={id}>
                  <h3>
                    <Link to="/drops/$dropId" params={{ dropId: id }}>
                      {title || text.drops.untitled}
                    </Link>
                  </h3>
                  <p>{body}</p>
                  <p className="faint">
                    <StateBadge state={state} /> <Time at={createdAt} />
                  </p>
                </li>
              ))}
            </ul>
          )}
        </Shown>
      </Section>
      <Section title={words.licenses}>
        <Shown
          of={{ data: own, error: loops.error ?? licenses.error, refetch: licenses.refetch as never }}
          isEmpty={(items) => items.length === 0}
          empty={<Empty title={words.noLicenses} />}
        >
          {(items) => (
            <ul className="rows panel">
              {items.map(({ id, kind, state, issuedAt }) => (
                <li key={id}>
                  <Link to="/market/licenses/$licenseId" params={{ licenseId: id }}>
                    {kind.replaceAll('_', ' ')}
                  </Link>{' '}
                  <StateBadge state={state} />{' '}
                  <span className="faint">
                    <Time at={issuedAt} />
                  </span>
                </li>
              ))}
            </ul>
          )}
        </Shown>
      </Section>
    </>
  );
}
