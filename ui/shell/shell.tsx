import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { Ellipsis } from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { useLive } from '../live.ts';
import { type NavigationEntry, navigation } from '../navigation.ts';
import { NarrationOverlay } from '../narration-overlay/narration-overlay.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { text } from '../text.ts';
import { useTourStep } from '../tour/progress.ts';
import { AccountMenu } from './account-menu.tsx';
import icon from './icon.svg';
import { Offline } from './offline.tsx';
import './shell.css';

/** Views at the foot of a phone; the others are behind "More". */
const atFoot = 4;

/** Most who come have taken it. Where it does not load, the views go on without. */
const Tour = lazy(() =>
  import('../tour/tour.tsx').then(
    (tour) => ({ default: tour.Tour }),
    () => ({ default: () => null }),
  ),
);

/** What stands around every view. */
export function Shell() {
  const content = useRef<HTMLElement>(null);
  const path = useRouterState({ select: ({ location }) => location.pathname });
  const first = useRef(path);
  const tourStep = useTourStep();
  // Who hears the page is taken to the new view; on the first one the browser has done so, and on the tour it goes along.
  useEffect(() => {
    if (first.current !== path && !document.activeElement?.closest('.tour'))
      content.current?.focus({ preventScroll: true });
    first.current = path;
  }, [path]);
  return (
    <div className="shell">
      <a className="skip" href="#content">
        {text.app.skip}
      </a>
      <Rail />
      <header className="top">
        <Brand />
        <AccountMenu />
      </header>
      {tourStep && (
        <Suspense>
          <Tour step={tourStep} />
        </Suspense>
      )}
      <main id="content" className="content" ref={content} tabIndex={-1}>
        <Offline />
        <Away />
        <Outlet />
      </main>
      <NarrationOverlay />
      <Foot />
    </div>
  );
}

function Brand() {
  return (
    <Link to="/" className="brand">
      <img src={icon} alt="" />
      {text.app.name}
    </Link>
  );
}

function Entry({ entry, className, onChosen }: { entry: NavigationEntry; className: string; onChosen?: () => void }) {
  const Icon = entry.icon;
  return (
    <Link to={entry.to} className={className} activeOptions={{ exact: entry.to === '/' }} onClick={onChosen}>
      <Icon aria-hidden />
      {entry.label}
    </Link>
  );
}

function Rail() {
  const { state, why } = useLive();
  return (
    <div className="rail">
      <Brand />
      <nav aria-label={text.app.views}>
        <ul>
          {navigation.map((entry) => (
            <li key={entry.to}>
              <Entry entry={entry} className="rail-link" />
            </li>
          ))}
        </ul>
      </nav>
      <div className="rail-foot">
        <span className="live" data-state={state} title={why}>
          {text.app.live[state]}
        </span>
        <AccountMenu />
      </div>
    </div>
  );
}

/** Only what lasts is told: a stream that is opened anew in a second is no news. */
function Away() {
  const { state } = useLive();
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    if (state !== 'away') return;
    const timer = setTimeout(() => setLong(true), 4_000);
    return () => {
      clearTimeout(timer);
      setLong(false);
    };
  }, [state]);
  return <div role="status">{isLong && <p className="away">{text.app.live.away}</p>}</div>;
}

function Foot() {
  const [isOpen, setOpen] = useState(false);
  const rest = navigation.slice(atFoot);
  return (
    <nav className="foot" aria-label={text.app.views}>
      <ul>
        {navigation.slice(0, atFoot).map((entry) => (
          <li key={entry.to}>
            <Entry entry={entry} className="foot-link" />
          </li>
        ))}
        {rest.length > 0 && (
          <li>
            <button type="button" className="foot-link" aria-haspopup="dialog" onClick={() => setOpen(true)}>
              <Ellipsis aria-hidden />
              {text.app.more}
            </button>
          </li>
        )}
      </ul>
      <Dialog title={text.app.views} isOpen={isOpen} onClose={() => setOpen(false)}>
        <ul>
          {rest.map((entry) => (
            <li key={entry.to}>
              <Entry entry={entry} className="rail-link" onChosen={() => setOpen(false)} />
            </li>
          ))}
        </ul>
      </Dialog>
    </nav>
  );
}
