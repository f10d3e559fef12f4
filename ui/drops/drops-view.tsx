import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { Item } from '../client.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/fields.tsx';
import { Listed, More } from '../parts/listed.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { dropsText } from '../texts/drops.ts';
import { Calendar } from './calendar.tsx';
import { Unconfirmed } from './unconfirmed.tsx';
import './drops.css';

const words = dropsText;
type Drop = Item<'GET /v1/drops'>;

/** What is posted, what waits for a word, and the one switch that stops it all. */
export function DropsView() {
  const may = useMay('creator');
  const waiting = usePages('GET /v1/drops', { query: { state: 'awaiting_approval', limit: 50 } });
  const drops = usePages('GET /v1/drops', { query: { limit: 100 } });
  return (
    <Page
      title={words.title}
      lead={words.lead}
      acts={
        <>
          {may && (
            <Link to="/drops/new" className="button" data-kind="main">
              {words.compose}
            </Link>
          )}
          <StopAll />
        </>
      }
    >
      <Unconfirmed />
      {(waiting.error || (waiting.rows && waiting.rows.length > 0)) && (
        <Section title={words.approvals}>
          <Listed of={waiting} empty={null}>
            {(items) => (
              <ul className="cards">
                {items.map((drop) => (
                  <Approval key={drop.id} drop={drop} />
                ))}
              </ul>
            )}
          </Listed>
        </Section>
      )}
      <Section title={words.calendar}>
        <Shown of={{ data: drops.rows, error: drops.error, refetch: drops.refetch as never }}>
          {(rows) => (
            <>
              <Calendar drops={rows} />
              {drops.hasNextPage && <p className="faint">{words.calendarPart(rows.length)}</p>}
              <More of={drops} />
            </>
          )}
        </Shown>
      </Section>
      <Section title={words.all}>
        <Listed of={drops} empty={<Empty title={words.none}>{words.noneText}</Empty>}>
          {(items) => (
            <Table
              caption={words.all}
              rows={items}
              keyOf={({ id }) => id}
              columns={[
                {
                  title: words.drop,
                  cell: ({ id, title, body }) => (
                    <Link to="/drops/$dropId" params={{ dropId: id }}>
                      {title === '' ? body.slice(0, 60) : title}
                    </Link>
                  ),
                },
                { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
                {
                  title: words.speaks,
                  cell: ({ agentId, source }) => (
                    <>
                      {agentId ?? words.you} {source !== 'person' && <Badge>{words.sources[source]}</Badge>}
                    </>
                  ),
                },
                {
                  title: words.when,
                  cell: ({ publishAt, sentAt, createdAt }) => <Time at={publishAt ?? sentAt ?? createdAt} />,
                },
              ]}
            />
          )}
        </Listed>
      </Section>
      <Feeds />
    </Page>
  );
}

function Approval({ drop }: { drop: Drop }) {
  const { id, title, body, agentId } = drop;
  const toasts = useToasts();
  const may = useMay('operator');
  const touches = ['GET /v1/drops', 'GET /v1/inbox'] as const;
  const approve = useWrite('POST /v1/drops/{id}/approve', { touches });
  const reject = useWrite('POST /v1/drops/{id}/reject', { touches });
  const isBusy = approve.isPending || reject.isPending;
  return (
    <li className="panel card">
      <h3>
        <Link to="/drops/$dropId" params={{ dropId: id }}>
          {title || words.untitled}
        </Link>
      </h3>
      <p className="said">{body}</p>
      <p className="faint">{agentId ?? words.you}</p>
      <div className="form-acts">
        <Button
          kind="main"
          disabled={!may || isBusy}
          onClick={() => approve.mutate({ path: { id } }, { onError: toasts.failed })}
        >
          {words.approve}
        </Button>
        <Button
          disabled={!may || isBusy}
          onClick={() => reject.mutate({ path: { id }, body: {} }, { onError: toasts.failed })}
        >
          {words.reject}
        </Button>
      </div>
    </li>
  );
}

/** Anybody who is a member stops everything; an operator lets it go on. */
function StopAll() {
  const stop = useApi('GET /v1/drops/stop', {}, { everyMs: 15_000 });
  const [isAsked, setAsked] = useState(false);
  const [reason, setReason] = useState('');
  const mayStop = useMay('member');
  const mayResume = useMay('operator');
  const toasts = useToasts();
  const touches = ['GET /v1/drops/stop'] as const;
  const stopAll = useWrite('POST /v1/drops/stop-all', { touches });
  const resume = useWrite('POST /v1/drops/resume-all', { touches });
  if (stop.data?.stopped) {
    return (
      <>
        <Badge tone="bad">{words.stopped}</Badge>
        <Button disabled={!mayResume || resume.isPending} onClick={() => resume.mutate({}, { onError: toasts.failed })}>
          {words.resumeAll}
        </Button>
      </>
    );
  }
  return (
    <>
      {/* Who wants to stop everything may, also where it cannot be read whether it is stopped. */}
      {stop.data === undefined && stop.error && <Badge tone="warn">{words.stopUnknown}</Badge>}
      <Button kind="danger" disabled={!mayStop} onClick={() => setAsked(true)}>
        {words.stopAll}
      </Button>
      <ConfirmDialog
        title={words.stopAll}
        isOpen={isAsked}
        onClose={() => setAsked(false)}
        act={words.stopNow}
        kind="danger"
        isPending={stopAll.isPending}
        onAct={() =>
          stopAll.mutate(
            { body: reason.trim() === '' ? {} : { reason: reason.trim() } },
            { onSuccess: () => setAsked(false), onError: toasts.failed },
          )
        }
      >
        <p>{words.stopText}</p>
        <TextField
          label={words.reason}
          value={reason}
          maxLength={300}
          onChange={(event) => setReason(event.target.value)}
        />
      </ConfirmDialog>
    </>
  );
}

function Feeds() {
  const channels = useApi('GET /v1/channels', { query: { limit: 100 } });
  return (
    <Section title={words.feeds}>
      <Shown
        of={channels}
        isEmpty={({ items }) => !items.some(({ kind }) => kind === 'feed')}
        empty={<p className="faint">{words.noFeeds}</p>}
      >
        {({ items }) => <FeedLinks feeds={items.filter(({ kind }) => kind === 'feed')} />}
      </Shown>
    </Section>
  );
}

function FeedLinks({ feeds }: { feeds: Array<Item<'GET /v1/channels'>> }) {
  return (
    <ul className="panel rows">
      {feeds.map(({ id, name }) => (
        <li key={id}>
          <h3>{name}</h3>
          <p className="form-acts">
            {(['atom', 'rss', 'json'] as const).map((format) => (
              <a key={format} href={`/v1/feeds/${id}/${format}`}>
                {words.feedFormats[format]}
              </a>
            ))}
            <a href={`/narration/${id}`}>{words.narration}</a>
          </p>
          <details>
            <summary>{words.embed}</summary>
            <p className="soft">{words.embedText}</p>
            <pre className="drops-embed">{`<script async src="${location.origin}/narration.js" data-feed="${id}"></script>`}</pre>
          </details>
        </li>
      ))}
    </ul>
  );
}
