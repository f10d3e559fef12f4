import { Link, useNavigate, useRouterState } from '@tanstack/react-router';
import { X } from 'lucide-react';
import { useEffect, useId, useRef, useState } from 'react';
import { agentSearch } from '../agents/search.ts';
import type { Item } from '../client.ts';
import { counted } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { useApi } from '../queries.ts';
import { text } from '../text.ts';
import { tourText } from '../texts/tour.ts';
import { keepTour, takeAsked, type TourStep, tourSteps } from './progress.ts';
import './tour.css';

const words = tourText;
type Agent = Item<'GET /v1/agents'>;

interface Told {
  to: string;
  search?: object;
  says: string;
}

/** Of what is not known, nothing is told but that. */
const unread = ({ error }: { error: Error | null }) => error?.message ?? text.states.loading;

/** What each step says of what is here now, and where that is seen; each is read a step ahead. */
function useTold(step: TourStep, first: Agent): Record<TourStep, Told> {
  const isBefore = (of: TourStep) => tourSteps.indexOf(step) + 1 >= tourSteps.indexOf(of);
  const inbox = useApi('GET /v1/inbox', { query: { limit: 200 } });
  const fleet = useApi('GET /v1/fleet', {}, { enabled: isBefore('fleet') });
  const globe = useApi('GET /v1/globe', {}, { enabled: step === 'globe' });
  const last = useApi('GET /v1/reflections', { query: { limit: 20 } }, { enabled: isBefore('evidence') });
  const [insight, keepInsight] = useState<Item<'GET /v1/reflections'>>();
  const found = last.data?.items.find(({ memories, forgottenAt }) => memories > 0 && forgottenAt === null);
  // The one that is told of stays, whatever is concluded meanwhile.
  if (insight === undefined && found !== undefined) keepInsight(found);
  const { home, fleet: ofFleet, globe: ofGlobe, evidence } = words.steps;
  const placed = globe.data?.agents.ids.length ?? 0;
  return {
    home: {
      to: '/',
      says: inbox.data ? home.says(inbox.data.items.length) : unread(inbox),
    },
    fleet: {
      to: '/fleet',
      says: fleet.data
        ? ofFleet.says(counted(fleet.data.agents.total, 'agent'), counted(fleet.data.machines.length, 'machine'))
        : unread(fleet),
    },
    globe: {
      to: '/globe',
      says: !globe.data
        ? unread(globe)
        : placed === 0
          ? ofGlobe.none
          : ofGlobe.says(counted(placed, 'agent'), counted(globe.data.memories.ids.length, 'memory', 'memories')),
    },
    evidence: insight
      ? {
          to: `/agents/${insight.agentId}`,
          search: agentSearch({ tab: 'reflections', reflection: insight.id }),
          says: evidence.says(insight.agentName, counted(insight.memories, 'memory', 'memories')),
        }
      : {
          to: `/agents/${first.id}`,
          search: agentSearch({ tab: 'reflections' }),
          says: last.data ? evidence.none(first.name) : unread(last),
        },
  };
}

/** Four steps over the views themselves, for who is here for the first time; nothing behind it is shut off. */
export function Tour({ step }: { step: TourStep }) {
  const agents = useApi('GET /v1/agents', { query: { limit: 1 } });
  const path = useRouterState({ select: ({ location }) => location.pathname });
  const [first] = agents.data?.items ?? [];
  const [isTaken, setTaken] = useState(false);
  // Without agents there is nothing to show; and who came by a link to one thing came for that.
  if (first === undefined || (step === tourSteps[0] && path !== '/' && !isTaken)) return null;
  return <Panel step={step} path={path} first={first} onTaken={() => setTaken(true)} />;
}

interface PanelProps {
  step: TourStep;
  path: string;
  first: Agent;
  onTaken: () => void;
}

function Panel({ step, path, first, onTaken }: PanelProps) {
  const told = useTold(step, first);
  const id = useId();
  const box = useRef<HTMLElement>(null);
  const navigate = useNavigate();
  const at = tourSteps.indexOf(step);
  const next = tourSteps[at + 1];
  const { to, search = {}, says } = told[step];

  // Whoever is in it, or nowhere yet, is taken along to the next step.
  useEffect(() => {
    const active = document.activeElement;
    if (takeAsked() || active === document.body || box.current?.contains(active))
      box.current?.focus({ preventScroll: true });
  }, [step]);

  const go = (other: TourStep) => {
    onTaken();
    keepTour(other);
    const { to: there, search: asked = {} } = told[other];
    void navigate({ to: there, search: asked });
  };
  const end = () => {
    document.getElementById('content')?.focus({ preventScroll: true });
    keepTour(undefined);
  };
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- Escape leaves it from any of its buttons
    <section
      ref={box}
      className="tour"
      role="dialog"
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-says`}
      tabIndex={-1}
      onKeyDown={({ key }) => key === 'Escape' && end()}
    >
      <div className="tour-head">
        <p className="faint">{words.step(at + 1, tourSteps.length)}</p>
        <Button kind="quiet" onClick={end} aria-label={words.end}>
          <X aria-hidden />
        </Button>
      </div>
      <h2 id={`${id}-title`}>{words.steps[step].title}</h2>
      <p id={`${id}-says`} className="tour-says">
        {says}
      </p>
      <div className="tour-acts">
        {path !== to && (
          // It goes with the press, the tour stays.
          <Link to={to} search={search} className="button" onClick={() => box.current?.focus({ preventScroll: true })}>
            {words.show}
          </Link>
        )}
        {at > 0 && <Button onClick={() => go(tourSteps[at - 1]!)}>{words.back}</Button>}
        {next === undefined ? (
          <Button kind="main" onClick={end}>
            {words.done}
          </Button>
        ) : (
          <Button kind="main" onClick={() => go(next)}>
            {words.next}
          </Button>
        )}
      </div>
    </section>
  );
}
