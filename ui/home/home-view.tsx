import { Badge } from '../parts/badge.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useApi } from '../queries.ts';
import { text } from '../text.ts';

const severities = { info: 'info', warning: 'warn', critical: 'bad' } as const;

/** What waits for a person, and the guilds they are in. */
export function HomeView() {
  const inbox = useApi('GET /v1/inbox', { query: { limit: 50 } });
  const guilds = useApi('GET /v1/guilds', { query: { state: 'open', limit: 50 } });
  const words = text.home;
  return (
    <Page title={words.title} lead={words.lead}>
      <Shown
        of={inbox}
        isEmpty={({ items }) => items.length === 0}
        empty={<Empty title={words.empty}>{words.emptyText}</Empty>}
      >
        {({ items }) => (
          <ul className="panel rows">
            {items.map(({ id, severity, title, detail, action, openedAt }) => (
              <li key={id}>
                <h2 className="small">
                  <Badge tone={severities[severity]}>{severity}</Badge> {title}
                </h2>
                <p className="soft">{detail}</p>
                {action && <p>→ {action}</p>}
                <p className="faint">
                  <Time at={openedAt} />
                </p>
              </li>
            ))}
          </ul>
        )}
      </Shown>
      {guilds.data && guilds.data.items.length > 0 && (
        <Section title={words.guilds}>
          <Table
            caption={words.guilds}
            keyOf={({ id }) => id}
            rows={guilds.data.items}
            columns={[
              { title: words.guild, cell: ({ name }) => name },
              {
                title: words.you,
                cell: ({ own }) =>
                  own.map(({ agentId, role }) => (agentId === null ? role : `${agentId}: ${role}`)).join(', ') ||
                  words.founded,
              },
              { title: words.members, cell: ({ seatsUsed }) => seatsUsed, isNumber: true },
              { title: words.seats, cell: ({ seats }) => seats, isNumber: true },
            ]}
          />
        </Section>
      )}
    </Page>
  );
}
