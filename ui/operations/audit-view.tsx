import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type ChangeEvent, type FormEvent, useState } from 'react';
import type { Item } from '../client.ts';
import { Badge, toneOf } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { SelectField, TextField } from '../parts/fields.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { usePages } from '../queries.ts';
import { text } from '../text.ts';
import { auditText } from '../texts/audit.ts';
import { operationsText } from '../texts/operations.ts';
import { type AuditSearch, auditOutcomes, auditQuery, auditSearch } from './audit-search.ts';
import { OperationsTabs } from './operations-tabs.tsx';
import './operations.css';

const words = auditText;
type Entry = Item<'GET /v1/audit'>;

/** Who asked for which write, and what became of it. */
export function AuditView() {
  const search = auditSearch(useSearch({ strict: false }));
  const isNarrow = Object.keys(search).length > 0;
  const entries = usePages('GET /v1/audit', { query: { ...auditQuery(search), limit: 50 } });
  // Who may not read it has nothing to look for.
  const isRefused = entries.rows === undefined && entries.error?.status === 403;
  return (
    <Page
      title={words.title}
      lead={words.lead}
      acts={
        !isRefused && (
          <Button disabled={entries.isFetching} onClick={() => void entries.refetch()}>
            {words.again}
          </Button>
        )
      }
    >
      <OperationsTabs />
      {!isRefused && <Filters search={search} />}
      <Shown
        of={{ data: entries.rows, error: entries.error, refetch: entries.refetch as never }}
        isEmpty={(rows) => rows.length === 0}
        empty={
          isNarrow ? (
            <Empty title={words.noMatch}>
              <p>
                <Link to="/operations/audit">{words.all}</Link>
              </p>
            </Empty>
          ) : (
            <Empty title={words.none}>{words.noneText}</Empty>
          )
        }
      >
        {(rows) => (
          <>
            <Entries rows={rows} search={search} />
            {entries.hasNextPage && (
              <p>
                <Button disabled={entries.isFetchingNextPage} onClick={() => void entries.fetchNextPage()}>
                  {text.states.more}
                </Button>
              </p>
            )}
          </>
        )}
      </Shown>
    </Page>
  );
}

type Typed = Record<'actor' | 'subject' | 'since' | 'outcome', string>;

const typedOf = (search: AuditSearch): Typed => ({ actor: '', subject: '', since: '', outcome: '', ...search });

/** Read when they are sent: half an id finds nothing. */
function Filters({ search }: { search: AuditSearch }) {
  const navigate = useNavigate();
  const address = JSON.stringify(search);
  const [shown, setShown] = useState(address);
  const [typed, setTyped] = useState(() => typedOf(search));
  // A link in the table, or the way back, has changed the address.
  if (shown !== address) {
    setShown(address);
    setTyped(typedOf(search));
  }
  const field = (name: keyof Typed) => ({
    value: typed[name],
    onChange: ({ target }: ChangeEvent<HTMLInputElement | HTMLSelectElement>) =>
      setTyped({ ...typed, [name]: target.value }),
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    const asked = Object.fromEntries(Object.entries(typed).map(([name, value]) => [name, value.trim()]));
    void navigate({ to: '/operations/audit', search: auditSearch(asked) });
  };
  return (
    <search>
      <form className="operations-filters" onSubmit={send}>
        <TextField label={words.actor} hint={words.actorHint} maxLength={200} {...field('actor')} />
        <TextField label={words.subject} hint={words.subjectHint} maxLength={200} {...field('subject')} />
        <TextField label={words.since} type="date" {...field('since')} />
        <SelectField
          label={words.outcome}
          {...field('outcome')}
          options={[
            { value: '', label: words.every },
            ...auditOutcomes.map((value) => ({ value, label: words.outcomes[value] })),
          ]}
        />
        <Button type="submit" kind="main">
          {words.find}
        </Button>
      </form>
    </search>
  );
}

function Entries({ rows, search }: { rows: Entry[]; search: AuditSearch }) {
  const only = (change: AuditSearch, says: string) => (
    <Link to="/operations/audit" search={{ ...search, ...change }}>
      {says}
    </Link>
  );
  return (
    <Table
      caption={words.title}
      rows={rows}
      keyOf={({ id }) => id}
      columns={[
        {
          title: words.write,
          cell: ({ method, route }) => (
            <code>
              {method} {route}
            </code>
          ),
        },
        {
          title: words.outcome,
          cell: ({ outcome, status }) => (
            <>
              <Badge tone={toneOf(outcome)}>{words.outcomes[outcome]}</Badge>{' '}
              {status !== null && <span className="faint">{status}</span>}
            </>
          ),
        },
        { title: words.when, cell: ({ at }) => <Time at={at} /> },
        {
          title: words.actor,
          cell: ({ actor, actorName, service, role }) => (
            <>
              {actor === null ? words.nobody : only({ actor }, actorName ?? actor)}
              {service !== null && (
                <>
                  {' · '}
                  {only({ actor: service }, words.service(service))}
                </>
              )}{' '}
              {role !== null && <span className="faint">{operationsText.roles[role]}</span>}
            </>
          ),
        },
        {
          title: words.by,
          cell: ({ kind, tokenId }) => kind !== null && tokenId !== null && only({ actor: tokenId }, words.kinds[kind]),
        },
        {
          title: words.subject,
          cell: ({ subjects }) => (
            <ul className="operations-subjects">
              {subjects.map((subject) => (
                <li key={subject}>{only({ subject }, subject)}</li>
              ))}
            </ul>
          ),
        },
        { title: words.request, cell: ({ id }) => <code>{id}</code> },
      ]}
    />
  );
}
