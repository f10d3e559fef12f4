import { StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Listed } from '../parts/listed.tsx';
import { Section } from '../parts/page.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { dropsText } from '../texts/drops.ts';

const words = dropsText;

/** Posts that left and were never answered: only a person can look whether they are there. */
export function Unconfirmed() {
  const doubts = usePages('GET /v1/deliveries', { query: { state: 'unconfirmed', limit: 50 } });
  const toasts = useToasts();
  const may = useMay('operator');
  const touches = ['GET /v1/deliveries', 'GET /v1/drops', 'GET /v1/inbox'] as const;
  const confirm = useWrite('POST /v1/drops/{id}/deliveries/{deliveryId}/confirm', { touches });
  const again = useWrite('POST /v1/drops/{id}/deliveries/{deliveryId}/again', { touches });
  const isBusy = confirm.isPending || again.isPending;
  if (doubts.rows?.length === 0 || (doubts.rows === undefined && !doubts.error)) return null;
  return (
    <Section title={words.unconfirmed}>
      <p className="soft">{words.unconfirmedText}</p>
      <Listed of={doubts} empty={null}>
        {(items) => (
          <ul className="cards">
            {items.map(({ id, dropId, channel, text: says, reason, createdAt, state }) => (
              <li key={id} className="panel card">
                <p>
                  <StateBadge state={state} /> {channel}{' '}
                  <span className="faint">
                    <Time at={createdAt} />
                  </span>
                </p>
                <p className="said">{says ?? ''}</p>
                {reason !== '' && <p className="faint">{reason}</p>}
                <div className="form-acts">
                  <Button
                    kind="main"
                    disabled={!may || isBusy}
                    onClick={() =>
                      confirm.mutate({ path: { id: dropId, deliveryId: id }, body: {} }, { onError: toasts.failed })
                    }
                  >
                    {words.isThere}
                  </Button>
                  <Button
                    disabled={!may || isBusy}
                    onClick={() => again.mutate({ path: { id: dropId, deliveryId: id } }, { onError: toasts.failed })}
                  >
                    {words.postAgain}
                  </Button>
                </div>
              </li>
            ))}
          </ul>
        )}
      </Listed>
    </Section>
  );
}
