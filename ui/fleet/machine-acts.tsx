import { CirclePause, CirclePlay, Unplug } from 'lucide-react';
import { useState } from 'react';
import type { Thing } from '../client.ts';
import { Button } from '../parts/button.tsx';
import { ConfirmDialog } from '../parts/dialog.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { fleetText } from '../texts/fleet.ts';

const words = fleetText.acts;

/** What can be done with a machine: look what its loss would do, take it out of service, and back. */
export function MachineActs({
  machine: { id, state },
  onSimulate,
}: {
  machine: Thing<'Machine'>;
  onSimulate: () => void;
}) {
  const may = useMay('operator');
  const [isAsking, setAsking] = useState(false);
  const { done, failed } = useToasts();
  const touches = ['GET /v1/fleet', 'GET /v1/fleet/map', 'GET /v1/machines'] as const;
  const drain = useWrite('POST /v1/machines/{id}/drain', { touches });
  const undrain = useWrite('POST /v1/machines/{id}/undrain', { touches });
  const input = { path: { id }, query: {} };
  const isOut = state === 'draining' || state === 'drained';
  return (
    <div className="machine-acts">
      <Button onClick={onSimulate}>
        <Unplug aria-hidden />
        {words.simulate}
      </Button>
      {may && isOut && (
        <Button
          disabled={undrain.isPending}
          onClick={() => undrain.mutate(input, { onSuccess: () => done(words.resumed(id)), onError: failed })}
        >
          <CirclePlay aria-hidden />
          {words.resume}
        </Button>
      )}
      {may && !isOut && state !== 'lost' && (
        <Button onClick={() => setAsking(true)}>
          <CirclePause aria-hidden />
          {words.drain}
        </Button>
      )}
      <ConfirmDialog
        title={words.drainTitle(id)}
        isOpen={isAsking}
        onClose={() => setAsking(false)}
        act={words.drain}
        isPending={drain.isPending}
        onAct={() => {
          setAsking(false);
          drain.mutate(input, { onSuccess: () => done(words.draining(id)), onError: failed });
        }}
      >
        <p>{words.drainText}</p>
      </ConfirmDialog>
    </div>
  );
}
