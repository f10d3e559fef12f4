import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CheckCheck } from 'lucide-react';
import { useEffect, useId, useState } from 'react';
import { counted, dateTime } from '../format.ts';
import { Badge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { asSomebodyActs, useLater } from '../parts/later.ts';
import { Listed } from '../parts/listed.tsx';
import { Page } from '../parts/page.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useAllPages, useApi } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { homeText } from '../texts/home.ts';
import { askedBy, carryOut, isPress, type Notice, others, pageOf } from './acts.ts';
import './home.css';

const words = homeText;
const loadFacts = () => import('./facts.tsx');
const severities = { info: 'info', warning: 'warn', critical: 'bad' } as const;
const rank = { critical: 0, warning: 1, info: 2 } as const;

/** What waits for a person: the worst first, each with the one button that settles it. */
export function HomeView() {
  // All of it: the worst stands first, however old it is.
  const inbox = useAllPages('GET /v1/inbox', { query: { limit: 200 } }, { everyMs: 30_000 });
  // The one button of some notices opens them. What does not load is told by its press.
  useEffect(() => asSomebodyActs(() => void loadFacts().catch(() => undefined)), []);
  return (
    <Page
      title={words.title}
      lead={inbox.rows && inbox.rows.length > 0 ? words.waits(inbox.rows.length, inbox.hasNextPage) : words.lead}
    >
      <Listed of={inbox} empty={<AllWell />}>
        {(items) => (
          <ul className="home-list" aria-label={words.title}>
            {items
              .toSorted((a, b) => rank[a.severity] - rank[b.severity] || b.openedAt.localeCompare(a.openedAt))
              .map((notice) => (
                <NoticeCard key={notice.id} notice={notice} />
              ))}
          </ul>
        )}
      </Listed>
    </Page>
  );
}

function AllWell() {
  const since = useApi('GET /v1/inbox', { query: { limit: 1 } }).data?.clearSince ?? null;
  const reflections = useApi('GET /v1/reflections', { query: { limit: 1 } });
  const last = reflections.data?.items[0];
  return (
    <div className="state home-well" role="status">
      <CheckCheck aria-hidden />
      <p className="state-title">{since === null ? words.empty : words.well(dateTime(since))}</p>
      <p>{words.emptyText}</p>
      {last && (
        <figure className="home-last">
          <blockquote>{last.text}</blockquote>
          <figcaption className="faint">
            {last.agentName} · <Time at={last.createdAt} />
          </figcaption>
        </figure>
      )}
    </div>
  );
}

function NoticeCard({ notice }: { notice: Notice }) {
  const { kind, severity, title, detail, act, otherwise, seen, openedAt } = notice;
  const id = useId();
  const queries = useQueryClient();
  const toasts = useToasts();
  const may = useMay('member');
  const [said, setSaid] = useState('');
  const settle = useMutation({
    mutationFn: (by: (of: Notice) => Promise<void>) => by(notice),
    onSuccess: async () => {
      toasts.done(words.done(title));
      // Its button goes with it: whoever pressed it goes on from the view, not from the top of the page.
      document.getElementById('content')?.focus({ preventScroll: true });
      await queries.invalidateQueries({ queryKey: ['GET /v1/inbox'] });
    },
    onError: toasts.failed,
  });
  const other = others[kind];
  const asked = askedBy(notice);
  const page = pageOf(notice);
  const [isLooking, setLooking] = useState(false);
  const [facts, askForFacts] = useLater(loadFacts);
  const look = () => {
    setLooking(true);
    askForFacts();
  };
  const button = words.acts[kind] ?? (isPress(notice) ? words.doIt : words.look);
  return (
    <li className="panel home-notice" data-severity={severity}>
      <article aria-labelledby={id}>
        <p className="home-meta">
          <Badge tone={severities[severity]}>{words.severities[severity]}</Badge>
          <span className="faint">
            <Time at={openedAt} />
            {seen > 1 && ` · ${words.seen(counted(seen, 'time'))}`}
          </span>
        </p>
        <h2 id={id}>{title}</h2>
        {detail !== '' && <p className="home-detail soft">{detail}</p>}
        <p>{act.say}</p>
        {asked && isPress(notice) && (
          <label className="label home-asked">
            {words.asked[asked]}
            <input className="field" value={said} maxLength={200} onChange={(event) => setSaid(event.target.value)} />
          </label>
        )}
        <div className="home-acts">
          {isPress(notice) ? (
            <Button
              kind="main"
              aria-describedby={id}
              disabled={!may || settle.isPending || (asked !== undefined && said.trim() === '')}
              onClick={() => settle.mutate((of) => carryOut(of, said.trim()))}
            >
              {button}
            </Button>
          ) : page === undefined ? (
            <Button kind="main" aria-describedby={id} onClick={look}>
              {button}
            </Button>
          ) : (
            <Link to={page} className="button" data-kind="main" aria-describedby={id}>
              {button}
            </Link>
          )}
          {other && (
            <Button aria-describedby={id} disabled={!may || settle.isPending} onClick={() => settle.mutate(other)}>
              {words.otherActs[kind] ?? words.no}
            </Button>
          )}
        </div>
        <details className="home-more">
          <summary>{words.otherwise}</summary>
          <p>{otherwise}</p>
          <p>
            <code>{act.command}</code>
          </p>
        </details>
        {isLooking && facts && (
          <facts.FactsDialog path={act.call.path} title={title} onClose={() => setLooking(false)} />
        )}
      </article>
    </li>
  );
}
