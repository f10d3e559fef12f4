import type { Thing } from '../client.ts';
import { count } from '../format.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Meter } from '../parts/meter.tsx';
import { Shown } from '../parts/states.tsx';
import { useApi } from '../queries.ts';
import { text } from '../text.ts';
import { fleetText } from '../texts/fleet.ts';

const words = fleetText.run;
/** A step that is done is told by no event. */
const everyMs = 5_000;
const ended: ReadonlySet<string> = new Set(['done', 'empty', 'failed', 'canceled']);
const isOver = ({ state }: { state: string }) => ended.has(state);

/** What an open run is at, as a part of its calls where that is known. */
export function Progress({ of: { stage, done, of } }: { of: NonNullable<Thing<'Run'>['progress']> }) {
  const says = words.stages[stage];
  if (of === null || of === 0) return says;
  return <Meter label={says} value={done} most={of} says={words.calls(count(done), count(of))} />;
}

interface Props {
  id: string;
  agentId: string;
  onClose: () => void;
}

/** One run as it goes: how far it is, and why it is there. */
export function RunDialog({ id, agentId, onClose }: Props) {
  const run = useApi('GET /v1/runs/{id}', { path: { id } }, { everyMs, isOver });
  const why = useApi('GET /v1/runs/{id}/why', { path: { id } }, { everyMs, isOver });
  return (
    <Dialog
      title={words.of(agentId)}
      isOpen
      onClose={onClose}
      acts={<Button onClick={onClose}>{text.app.close}</Button>}
    >
      <Shown of={run}>
        {({ state, progress }) => (
          <>
            <p>
              <StateBadge state={state} />
            </p>
            {progress && <Progress of={progress} />}
          </>
        )}
      </Shown>
      <Shown of={why}>
        {({ why: says, waitsFor, facts }) => (
          <div className="section">
            <p>{says}</p>
            {waitsFor !== null && <p>{words.waitsFor(waitsFor)}</p>}
            <ul className="small soft">
              {facts.map((fact) => (
                <li key={fact}>{fact}</li>
              ))}
            </ul>
          </div>
        )}
      </Shown>
    </Dialog>
  );
}
