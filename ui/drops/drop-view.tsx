import { useParams } from '@tanstack/react-router';
import type { Thing } from '../client.ts';
import { dateTime } from '../format.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { dropsText } from '../texts/drops.ts';
import './drops.css';

const words = dropsText;
const isOut: readonly Thing<'Drop'>['state'][] = ['published', 'partly_published'];
const notGone: readonly Thing<'Drop'>['state'][] = ['draft', 'awaiting_approval', 'scheduled'];

/** One post: its words, where it stands, and what became of it on each channel. */
export function DropView() {
  const { dropId = '' } = useParams({ strict: false });
  const drop = useApi('GET /v1/drops/{id}', { path: { id: dropId } }, { everyMs: 10_000 });
  return (
    <Page title={drop.data?.title || words.drop} lead={drop.data && <Lead drop={drop.data} />}>
      <Shown of={drop}>{(shown) => <Shows drop={shown} />}</Shown>
    </Page>
  );
}

function Lead({ drop: { state, agentId, publishAt, source, degraded } }: { drop: Thing<'DropDetail'> }) {
  return (
    <>
      <StateBadge state={state} /> {agentId ?? words.you}
      {publishAt !== null && ` · ${dateTime(publishAt)}`}{' '}
      {source !== 'person' && <Badge>{words.sources[source]}</Badge>}{' '}
      {degraded && <Badge tone="warn">{words.degraded}</Badge>}
    </>
  );
}

function Shows({ drop }: { drop: Thing<'DropDetail'> }) {
  const { id, state, reason, body, narration, deliveries, evidence } = drop;
  const toasts = useToasts();
  const may = useMay('creator');
  const mayJudge = useMay('operator');
  const touches = ['GET /v1/drops', 'GET /v1/drops/{id}', 'GET /v1/inbox'] as const;
  const publish = useWrite('POST /v1/drops/{id}/publish', { touches });
  const approve = useWrite('POST /v1/drops/{id}/approve', { touches });
  const reject = useWrite('POST /v1/drops/{id}/reject', { touches });
  const remove = useWrite('DELETE /v1/drops/{id}', { touches });
  const mayBless = useMay('member');
  const bless = useWrite('POST /v1/drops/{id}/blessings', { touches });
  const told = { onError: toasts.failed };
  return (
    <>
      {reason !== '' && <p className="soft">{reason}</p>}
      <div className="form-acts">
        {state === 'draft' && (
          <Button
            kind="main"
            disabled={!may || publish.isPending}
            onClick={() => publish.mutate({ path: { id }, body: {} }, told)}
          >
            {words.publishNow}
          </Button>
        )}
        {state === 'awaiting_approval' && (
          <>
            <Button
              kind="main"
              disabled={!mayJudge || approve.isPending}
              onClick={() => approve.mutate({ path: { id } }, told)}
            >
              {words.approve}
            </Button>
            <Button
              disabled={!mayJudge || reject.isPending}
              onClick={() => reject.mutate({ path: { id }, body: {} }, told)}
            >
              {words.reject}
            </Button>
          </>
        )}
        {isOut.includes(state) && (
          <Button
            disabled={!mayBless || bless.isPending}
            onClick={() =>
              bless.mutate(
                { path: { id }, query: {}, body: {} },
                { onSuccess: () => toasts.done(words.blessed), ...told },
              )
            }
          >
            {words.bless}
          </Button>
        )}
        {notGone.includes(state) && (
          <Button
            kind="danger"
            disabled={!may || remove.isPending}
            onClick={() => remove.mutate({ path: { id } }, told)}
          >
            {words.takeBack}
          </Button>
        )}
      </div>
      <section className="panel">
        <p className="said">{body}</p>
        {narration !== '' && (
          <details>
            <summary>{words.narrationField}</summary>
            <p className="said">{narration}</p>
          </details>
        )}
        {evidence.length > 0 && <p className="faint">{words.restsOn(evidence.length)}</p>}
      </section>
      <Section title={words.deliveries}>
        {deliveries.length === 0 ? (
          <Empty title={words.noDeliveries} />
        ) : (
          <ul className="panel rows">
            {deliveries.map((delivery) => (
              <li key={delivery.id}>
                <p>
                  <StateBadge state={delivery.state} /> {delivery.channel}{' '}
                  {delivery.rehearsal && <Badge>{words.rehearsal}</Badge>}
                </p>
                {delivery.text !== null && <p className="said soft">{delivery.text}</p>}
                {delivery.reason !== '' && <p className="faint">{delivery.reason}</p>}
                <p className="faint">
                  <Time at={delivery.endedAt ?? delivery.createdAt} />
                  {delivery.url !== null && /^https?:\/\//.test(delivery.url) && (
                    <>
                      {' · '}
                      <a href={delivery.url} target="_blank" rel="noreferrer">
                        {words.seeIt}
                      </a>
                    </>
                  )}
                </p>
              </li>
            ))}
          </ul>
        )}
      </Section>
    </>
  );
}
