import { ExternalLink, Sparkles } from 'lucide-react';
import { cadenceWords, count } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { newKey } from '../parts/decision.ts';
import { Meter } from '../parts/meter.tsx';
import { Failed } from '../parts/states.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { fleetText } from '../texts/fleet.ts';

const words = fleetText.sweep;

/** Lets every agent that is due reflect now. */
export function TriggerSweep() {
  const may = useMay('member');
  const { done, failed } = useToasts();
  const sweep = useWrite('POST /v1/sweeps', { touches: ['GET /v1/sweeps'] });
  if (!may) return null;
  return (
    <Button
      kind="main"
      disabled={sweep.isPending}
      onClick={() =>
        sweep.mutate(
          { query: {}, body: {}, options: { idempotencyKey: newKey() } },
          { onSuccess: () => done(words.started), onError: failed },
        )
      }
    >
      <Sparkles aria-hidden />
      {words.trigger}
    </Button>
  );
}

/** Sweeps under way, each with how far it is. */
export function Sweeps() {
  const sweeps = useApi('GET /v1/sweeps', { query: { state: 'running', limit: 4 } });
  if (sweeps.error && sweeps.data === undefined)
    return <Failed error={sweeps.error} onAgain={() => void sweeps.refetch()} />;
  return sweeps.data?.items.map(({ id }) => <Sweep key={id} id={id} />) ?? null;
}

function Sweep({ id }: { id: string }) {
  const sweep = useApi('GET /v1/sweeps/{id}', { path: { id }, query: {} });
  if (sweep.data === undefined) return null;
  const { counts, total, cadence, links } = sweep.data;
  const ended = counts.done + counts.empty + counts.failed + counts.canceled;
  return (
    <div className="panel sweep">
      <Meter
        label={words.title(cadence === null ? words.all : words.every(cadenceWords(cadence)))}
        value={ended}
        most={total}
        says={words.says(count(ended), count(total))}
      />
      <p className="faint">
        {words.counts(count(counts.running), count(counts.queued), count(counts.failed))}
        {links.temporal && (
          <a href={links.temporal} target="_blank" rel="noreferrer" aria-label={fleetText.temporal}>
            {' '}
            <ExternalLink size={14} aria-hidden />
          </a>
        )}
      </p>
    </div>
  );
}
