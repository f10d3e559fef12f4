import { count } from '../format.ts';
import { Badge, StateBadge, toneOf } from '../parts/badge.tsx';
import { Listed } from '../parts/listed.tsx';
import { Figures } from '../parts/figures.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useApi, usePages } from '../queries.ts';
import { operationsText } from '../texts/operations.ts';
import { AlertRules } from './alert-rules.tsx';
import { OperationsTabs } from './operations-tabs.tsx';

const words = operationsText;

/** How every part does: what is wrong first, then the counts, what changed, and who was told. */
export function HealthView() {
  const summary = useApi('GET /v1/health/summary', {}, { everyMs: 15_000 });
  return (
    <Page title={words.title} lead={words.lead}>
      <OperationsTabs />
      <Shown of={summary}>
        {({ state, reason, judgedAt, kinds, worst }) => (
          <>
            <p role="status">
              <Badge tone={toneOf(state)}>{words.healthStates[state]}</Badge> {reason}{' '}
              {judgedAt !== null && (
                <span className="faint">
                  {words.judged} <Time at={judgedAt} />
                </span>
              )}
            </p>
            <Figures
              of={kinds.map(({ kind, counts }) => ({
                label: words.healthKinds[kind],
                value: words.okOf(
                  count(counts['ok'] ?? 0),
                  count(Object.values(counts).reduce((sum, each) => sum + each, 0)),
                ),
              }))}
            />
            <Section title={words.alerts}>
              {worst.length === 0 ? (
                <Empty title={words.noAlerts} />
              ) : (
                <ul className="panel rows">
                  {worst.map(({ kind, id, name, state: its, reason: why, since }) => (
                    <li key={`${kind} ${id}`}>
                      <p>
                        <Badge tone={toneOf(its)}>{words.healthStates[its]}</Badge> {words.healthKinds[kind]}{' '}
                        <strong>{name || id}</strong>
                      </p>
                      <p className="soft">{why}</p>
                      <p className="faint">
                        <Time at={since} />
                      </p>
                    </li>
                  ))}
                </ul>
              )}
            </Section>
          </>
        )}
      </Shown>
      <AlertRules />
      <Changes />
      <Told />
    </Page>
  );
}

function Changes() {
  const changes = usePages('GET /v1/health/changes', { query: { limit: 20 } }, { everyMs: 30_000 });
  return (
    <Section title={words.changes}>
      <Listed of={changes} empty={<p className="faint">{words.noChanges}</p>}>
        {(items) => (
          <Table
            caption={words.changes}
            rows={items}
            keyOf={({ seq }) => seq}
            columns={[
              { title: words.part, cell: ({ kind, id }) => `${words.healthKinds[kind]} ${id}` },
              { title: words.became, cell: ({ to }) => <Badge tone={toneOf(to)}>{words.healthStates[to]}</Badge> },
              { title: words.reason, cell: ({ reason }) => reason },
              { title: words.when, cell: ({ at }) => <Time at={at} /> },
            ]}
          />
        )}
      </Listed>
    </Section>
  );
}

function Told() {
  const told = usePages('GET /v1/notifications', { query: { limit: 20 } });
  if (told.error?.status === 403) return null;
  return (
    <Section title={words.told}>
      <Listed of={told} empty={<p className="faint">{words.nobodyTold}</p>}>
        {(items) => (
          <Table
            caption={words.told}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: words.destination, cell: ({ destination }) => destination },
              {
                title: words.state,
                cell: ({ state }) => <StateBadge state={state} />,
              },
              { title: words.when, cell: (row) => <Time at={row.endedAt ?? row.createdAt} /> },
            ]}
          />
        )}
      </Listed>
    </Section>
  );
}
