import { Link } from '@tanstack/react-router';
import { StateBadge } from '../parts/badge.tsx';
import { Listed } from '../parts/listed.tsx';
import { Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useAllPages, usePages } from '../queries.ts';
import { agentText } from '../texts/agent.ts';
import { dropsText } from '../texts/drops.ts';

const words = agentText.work;

/** What the agent has posted, and your licenses of the loop packages made of it. */
export function AgentWork({ agentId }: { agentId: string }) {
  const drops = usePages('GET /v1/drops', { query: { agentId, limit: 20 } });
  const loops = useAllPages('GET /v1/loops', { query: { agentId, limit: 200 } });
  const licenses = useAllPages('GET /v1/licenses', { query: { limit: 200 } }, { enabled: loops.isWhole });
  const hashes = new Set(loops.rows?.map(({ contentHash }) => contentHash));
  const own = licenses.isWhole ? licenses.rows?.filter(({ packageHash }) => hashes.has(packageHash)) : undefined;
  const failed = loops.error ? loops : licenses;
  return (
    <>
      <Section title={words.drops}>
        <Listed of={drops} empty={<Empty title={words.noDrops} />}>
          {(items) => (
            <ul className="rows panel">
              {items.map(({ id, title, body, state, createdAt }) => (
                <li key={id}>
                  <h3>
                    <Link to="/drops/$dropId" params={{ dropId: id }}>
                      {title || dropsText.untitled}
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
        </Listed>
      </Section>
      <Section title={words.licenses}>
        <Shown
          of={{ data: own, error: failed.error, refetch: failed.refetch as never }}
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
