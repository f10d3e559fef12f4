import { useState } from 'react';
import type { Item, Thing } from '../client.ts';
import { count } from '../format.ts';
import { Badge, StateBadge, type Tone } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { Listed } from '../parts/listed.tsx';
import { Meter } from '../parts/meter.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { text } from '../text.ts';
import { operationsText } from '../texts/operations.ts';
import { OperationsTabs } from './operations-tabs.tsx';

const words = operationsText;
const tones: Record<string, Tone> = { critical: 'bad', high: 'bad', medium: 'warn', low: 'plain', unknown: 'info' };
const order = ['critical', 'high', 'medium', 'low', 'unknown'];
const shownAtOnce = 100;

/** What stands between the fleet and production, and how far the roll-outs are that mend it. */
export function ReadinessView() {
  const runs = useApi('GET /v1/readiness/runs', { query: { state: 'done', limit: 1 } }, { everyMs: 60_000 });
  const isAssessed = (runs.data?.items.length ?? 0) > 0;
  const readiness = useApi('GET /v1/readiness', {}, { enabled: isAssessed });
  return (
    <Page title={words.readiness} lead={words.readinessLead}>
      <OperationsTabs />
      <Shown
        of={runs}
        isEmpty={() => !isAssessed}
        empty={
          <Empty title={words.noReadiness}>
            <p>
              <code>npx soulfra readiness PATH</code>
            </p>
          </Empty>
        }
      >
        {() => <Shown of={readiness}>{(report) => <Report report={report} />}</Shown>}
      </Shown>
      <Rollouts />
    </Page>
  );
}

function Report({ report: { verdict, findings, accepted } }: { report: Thing<'Readiness'> }) {
  const open = findings
    .filter((finding) => finding.accepted === null)
    .toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  const [most, setMost] = useState(shownAtOnce);
  return (
    <Section title={words.report}>
      <p role="status">
        <Badge tone={verdict === 'ready' ? 'good' : verdict === 'not_ready' ? 'bad' : 'warn'}>
          {words.verdicts[verdict]}
        </Badge>{' '}
        {words.findings(count(open.length), count(accepted))}
      </p>
      {open.length === 0 ? (
        <Empty title={words.noFindings} />
      ) : (
        <ul className="panel rows">
          {open.slice(0, most).map(({ fingerprint, severity, rule, subject, place, evidence, mend }) => (
            <li key={fingerprint}>
              <p>
                <Badge tone={tones[severity] ?? 'plain'}>{words.severities[severity]}</Badge> <strong>{subject}</strong>{' '}
                <span className="faint">{rule}</span>
              </p>
              <p className="said soft">{evidence}</p>
              <p>{mend}</p>
              {place !== null && (
                <p className="faint">
                  <code>{place}</code>
                </p>
              )}
            </li>
          ))}
        </ul>
      )}
      {open.length > most && (
        <p>
          <Button onClick={() => setMost(most + shownAtOnce)}>{text.states.more}</Button>
        </p>
      )}
    </Section>
  );
}

type Rollout = Item<'GET /v1/rollouts'>;

function Rollouts() {
  const rollouts = usePages('GET /v1/rollouts', { query: { limit: 10 } }, { everyMs: 10_000 });
  return (
    <Section title={words.rollouts}>
      <Listed of={rollouts} empty={<p className="faint">{words.noRollouts}</p>}>
        {(items) => (
          <ul className="cards">
            {items.map((rollout) => (
              <RolloutCard key={rollout.id} listed={rollout} />
            ))}
          </ul>
        )}
      </Listed>
    </Section>
  );
}

const acts = { running: ['pause', 'rollback'], paused: ['resume', 'rollback'], held: ['resume', 'rollback'] } as const;

function RolloutCard({ listed }: { listed: Rollout }) {
  const rollout = useApi('GET /v1/rollouts/{id}', { path: { id: listed.id } }, { everyMs: 10_000 });
  const may = useMay('operator');
  const toasts = useToasts();
  const touches = ['GET /v1/rollouts', 'GET /v1/rollouts/{id}', 'GET /v1/inbox'] as const;
  const pause = useWrite('POST /v1/rollouts/{id}/pause', { touches });
  const resume = useWrite('POST /v1/rollouts/{id}/resume', { touches });
  const rollback = useWrite('POST /v1/rollouts/{id}/rollback', { touches });
  const writes = { pause, resume, rollback };
  const [isAsked, setAsked] = useState(false);
  const packages = rollout.data?.packages ?? [];
  const over = packages.filter(({ state }) => state === 'done' || state === 'skipped').length;
  const here: ReadonlyArray<keyof typeof writes> = acts[listed.state as keyof typeof acts] ?? [];
  return (
    <li className="panel card">
      <p>
        <StateBadge state={listed.state} />{' '}
        <span className="faint">
          <Time at={listed.createdAt} />
        </span>
      </p>
      {listed.reason !== '' && <p>{listed.reason}</p>}
      <Meter
        label={words.packages}
        value={over}
        most={packages.length}
        says={`${count(over)} / ${count(packages.length)}`}
      />
      <ol className="rows">
        {packages.map(({ id, title, state, reason }) => (
          <li key={id}>
            <StateBadge state={state} /> {id} {title}
            {reason !== '' && <p className="faint">{reason}</p>}
          </li>
        ))}
      </ol>
      <div className="form-acts">
        {here.map((act) => (
          <Button
            key={act}
            kind={act === 'rollback' ? 'danger' : 'plain'}
            disabled={!may || writes[act].isPending}
            onClick={() =>
              act === 'rollback'
                ? setAsked(true)
                : writes[act].mutate({ path: { id: listed.id } }, { onError: toasts.failed })
            }
          >
            {words.rolloutActs[act]}
          </Button>
        ))}
      </div>
      <ConfirmDialog
        title={words.rollbackTitle}
        isOpen={isAsked}
        onClose={() => setAsked(false)}
        act={words.rolloutActs.rollback}
        kind="danger"
        isPending={rollback.isPending}
        onAct={() =>
          rollback.mutate({ path: { id: listed.id } }, { onSuccess: () => setAsked(false), onError: toasts.failed })
        }
      >
        <p>{words.rollbackText}</p>
      </ConfirmDialog>
    </li>
  );
}
