import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { Ellipsis } from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { useLive } from '../live.ts';
import { navigation } from '../navigation.ts';
import { loadNarrator, NarrationOverlay } from '../narration-overlay/narration-overlay.tsx';
import { asSomebodyActs, useLater } from '../parts/later.ts';
import { loadToasts } from '../parts/toasts.tsx';
import { text } from '../text.ts';
import { useTourStep } from '../tour/progress.ts';
import { AccountMenu, loadAccountMenu } from './account-menu.tsx';
import { Entry } from './entry.tsx';
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

const loadMoreViews = () => import('./more-views.tsx');

/** What presses on the shell open. What does not load is told by the press, which asks for it again. */
function loadParts(): void {
  loadToasts();
  for (const load of [loadAccountMenu, loadMoreViews, loadNarrator]) load().catch(() => undefined);
}

/** What stands around every view. */
export function Shell() {
  const content = useRef<HTMLElement>(null);
  const path = useRouterState({ select: ({ location }) => location.pathname });
  const first = useRef(path);
  const tourStep = useTourStep();
  useEffect(() => asSomebodyActs(loadParts), []);
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
      <Foot path={path} />
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

function Foot({ path }: { path: string }) {
  const [isOpen, setOpen] = useState(false);
  // Whoever went elsewhere before it came does not want it there.
  useEffect(() => () => setOpen(false), [path]);
  const [more, ask] = useLater(loadMoreViews);
  const rest = navigation.slice(atFoot);
  const open = () => {
    setOpen(true);
    ask();
  };
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
            <button type="button" className="foot-link" aria-haspopup="dialog" onClick={open}>
              <Ellipsis aria-hidden />
              {text.app.more}
            </button>
          </li>
        )}
      </ul>
      {more && <more.MoreViews entries={rest} isOpen={isOpen} onClose={() => setOpen(false)} />}
    </nav>
  );
}
