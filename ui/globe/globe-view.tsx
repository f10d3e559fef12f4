import { useNavigate } from '@tanstack/react-router';
import { Minus, Pause, Play, Plus } from 'lucide-react';
import { type KeyboardEvent, useCallback, useDeferredValue, useId, useMemo, useRef, useState } from 'react';
import { count, counted, dateTime } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { Mask } from '../parts/mask.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { globeText } from '../texts/globe.ts';
import { arcTokens, pointTokens } from './colours.ts';
import { GlobeCanvas, lessMotion, type Picture } from './globe-canvas.tsx';
import { GlobeTable } from './globe-table.tsx';
import {
  type Direction,
  foundPoints,
  type Globe,
  happenedUntil,
  nameOf,
  nextPoint,
  type Place,
  placeAt,
  type Point,
  pointsOf,
} from './points.ts';
import type { GlobeScene } from './scene.ts';
import './globe.css';

const words = globeText;
const mostFound = 8;
/** From the first memory to the last by arrow keys. */
const timeSteps = 200;
const arrows: Readonly<Record<string, Direction>> = {
  ArrowUp: 'up',
  ArrowDown: 'down',
  ArrowLeft: 'left',
  ArrowRight: 'right',
};

/** Agents and memories by what they say, on a sphere and as a table. */
export function GlobeView() {
  const globe = useApi('GET /v1/globe', {});
  return (
    <Page title={words.title} lead={words.lead} acts={<PlaceNow />}>
      <Shown
        of={globe}
        isEmpty={({ agents, memories }) => agents.ids.length + memories.ids.length === 0}
        empty={<None />}
      >
        {(data) => <Stage globe={data} />}
      </Shown>
    </Page>
  );
}

function None() {
  return <Empty title={words.none}>{words.noneText}</Empty>;
}

function PlaceNow() {
  const may = useMay('member');
  const place = useWrite('POST /v1/globe/place');
  const { done, failed } = useToasts();
  if (!may) return null;
  return (
    <Button
      disabled={place.isPending}
      onClick={() =>
        place.mutate(
          { query: {}, body: {} },
          { onSuccess: () => done(words.placing, words.placingText), onError: failed },
        )
      }
    >
      {words.placeNow}
    </Button>
  );
}

function Stage({ globe }: { globe: Globe }) {
  const points = useMemo(() => pointsOf(globe), [globe]);
  const first = globe.memories.times[0] ?? 0;
  const newest = globe.memories.times.at(-1) ?? 0;
  const step = Math.max(1, Math.ceil((newest - first) / timeSteps));
  // Undefined: all there are, also those to come.
  const [chosen, setUntil] = useState<number>();
  const until = chosen ?? newest;
  const isShown = useCallback(({ time }: Point) => time === undefined || time <= until, [until]);

  const [marked, setMarked] = useState<{ id: string; isFlownTo: boolean }>();
  const [hovered, setHovered] = useState<number>();
  const [isTurning, setTurning] = useState(() => !lessMotion());
  const [picture, setPicture] = useState<Picture>('opening');
  const scene = useRef<GlobeScene>(undefined);
  const stage = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const keysId = useId();

  // By its id: what is laid out anew has other indices.
  const index = marked === undefined ? -1 : points.findIndex(({ id }) => id === marked.id);
  const current = index >= 0 && isShown(points[index]!) ? index : undefined;
  const isFlownTo = marked?.isFlownTo ?? false;
  const drawnMark = useMemo(
    () => (current === undefined ? undefined : { index: current, isFlownTo }),
    [current, isFlownTo],
  );
  const mark = (next: number | undefined, isFar = true) => {
    setMarked(next === undefined ? undefined : { id: points[next]!.id, isFlownTo: isFar });
    // A pointer at rest hides nothing of what the keys mark.
    setHovered(undefined);
    if (next !== undefined) setTurning(false);
  };
  const show = (next: number) => {
    mark(next);
    stage.current?.scrollIntoView({ block: 'nearest' });
    stage.current?.focus({ preventScroll: true });
  };
  const open = ({ agent, kind }: Point) => {
    if (agent === undefined) return;
    void navigate({
      to: '/agents/$id',
      params: { id: agent.id },
      search: kind === 'agent' ? {} : { tab: kind === 'reflection' ? 'reflections' : 'memories' },
    });
  };
  const onKey = (event: KeyboardEvent) => {
    const direction = arrows[event.key];
    if (direction !== undefined) {
      const start = points.findIndex(isShown);
      const next =
        current === undefined ? (start < 0 ? undefined : start) : nextPoint(points, current, direction, isShown);
      if (next !== undefined) mark(next);
    } else if (event.key === 'Enter' && current !== undefined) open(points[current]!);
    else if (event.key === 'Escape' && marked !== undefined) mark(undefined);
    else return;
    event.preventDefault();
  };
  const hasPicture = picture !== 'unable' && picture !== 'failed';
  const named = hovered ?? current;

  return (
    <>
      <div className="globe-stage">
        <div className="globe-picture" data-picture={picture}>
          {hasPicture ? (
            <>
              {/* oxlint-disable jsx-a11y/no-noninteractive-tabindex, jsx-a11y/no-noninteractive-element-interactions -- points on a canvas are gone through by arrow keys */}
              <div
                ref={stage}
                className="globe-keys"
                role="application"
                tabIndex={0}
                aria-label={words.stage}
                aria-describedby={keysId}
                onKeyDown={onKey}
              >
                <GlobeCanvas
                  globe={globe}
                  points={points}
                  until={until}
                  marked={drawnMark}
                  isTurning={isTurning}
                  sceneRef={scene}
                  onMark={(next) => mark(next, false)}
                  onHover={setHovered}
                  onGrab={() => setTurning(false)}
                  onPicture={setPicture}
                />
              </div>
              {/* oxlint-enable jsx-a11y/no-noninteractive-tabindex, jsx-a11y/no-noninteractive-element-interactions */}
              <div className="globe-acts">
                <Button
                  kind="quiet"
                  aria-label={isTurning ? words.still : words.turn}
                  onClick={() => setTurning(!isTurning)}
                >
                  {isTurning ? <Pause aria-hidden /> : <Play aria-hidden />}
                </Button>
                <Button kind="quiet" aria-label={words.nearer} onClick={() => scene.current?.zoom(0.8)}>
                  <Plus aria-hidden />
                </Button>
                <Button kind="quiet" aria-label={words.further} onClick={() => scene.current?.zoom(1.25)}>
                  <Minus aria-hidden />
                </Button>
              </div>
              {hovered !== undefined && points[hovered] !== undefined && (
                <p className="globe-hover" aria-hidden>
                  {nameOf(points[hovered])}
                </p>
              )}
            </>
          ) : (
            <Empty title={picture === 'unable' ? words.unable : words.failed} />
          )}
          {picture === 'lost' && (
            <p className="globe-lost" role="status">
              {words.lost}
            </p>
          )}
        </div>
        <div className="section globe-side">
          <Search points={points} isShown={isShown} onShow={show} />
          <Marked
            points={points}
            point={named === undefined ? undefined : points[named]}
            isShown={isShown}
            hint={hasPicture ? words.nowhere : words.nowhereByTable}
            onShow={show}
            onOpen={open}
          />
          <Regions globe={globe} onShow={hasPicture ? (place) => scene.current?.flyTo(place) : undefined} />
        </div>
      </div>
      {hasPicture && (
        <p id={keysId} className="faint small">
          {words.keys}
        </p>
      )}
      {newest > first && (
        <label className="label">
          {words.time} {dateTime(isoOf(until))} ·{' '}
          {words.shown(
            count(happenedUntil(globe.memories.times, until)),
            counted(globe.memories.ids.length, 'memory', 'memories'),
          )}
          <input
            type="range"
            className="globe-time"
            // Whole steps from the newest back: it must be reached.
            min={newest - Math.ceil((newest - first) / step) * step}
            max={newest}
            step={step}
            value={until}
            aria-valuetext={dateTime(isoOf(until))}
            onChange={({ target }) => {
              const value = Number(target.value);
              setUntil(value >= newest ? undefined : value);
            }}
          />
        </label>
      )}
      <Legend globe={globe} />
      {globe.placedAt !== null && (
        <p className="faint small">
          {words.placed} <Time at={globe.placedAt} />
        </p>
      )}
      <GlobeTable points={points} isShown={isShown} isOpen={!hasPicture} onShow={hasPicture ? show : undefined} />
    </>
  );
}

const isoOf = (seconds: number) => new Date(seconds * 1000).toISOString();

interface SearchProps {
  points: readonly Point[];
  isShown: (point: Point) => boolean;
  onShow: (index: number) => void;
}

/** What is found flies before the eye. */
function Search({ points, isShown, onShow }: SearchProps) {
  const [asked, setAsked] = useState('');
  const deferred = useDeferredValue(asked);
  const found = useMemo(() => foundPoints(points, deferred, isShown, mostFound), [points, deferred, isShown]);
  return (
    <search>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (found[0] !== undefined) onShow(found[0]);
        }}
      >
        <label className="label">
          {words.search}
          <input
            type="search"
            className="field"
            placeholder={words.searchFor}
            value={asked}
            onChange={({ target }) => setAsked(target.value)}
          />
        </label>
      </form>
      {deferred.trim() !== '' && (
        <ul className="globe-found" aria-label={words.found}>
          {found.map((index) => (
            <li key={points[index]!.id}>
              <Button kind="quiet" onClick={() => onShow(index)}>
                {nameOf(points[index]!)}
              </Button>
            </li>
          ))}
          {found.length === 0 && <li className="soft">{words.noMatch}</li>}
        </ul>
      )}
    </search>
  );
}

interface MarkedProps extends SearchProps {
  point: Point | undefined;
  /** What to do where nothing is marked. */
  hint: string;
  onOpen: (point: Point) => void;
}

/** The point somebody is at, and where its threads lead. */
function Marked({ points, point, isShown, hint, onShow, onOpen }: MarkedProps) {
  const threads = point?.threads.filter(({ index }) => isShown(points[index]!)) ?? [];
  return (
    <div className="panel globe-marked" role="status">
      {point === undefined ? (
        <p className="soft">{hint}</p>
      ) : (
        <>
          <p className="globe-who">
            {point.agent && <Mask seed={point.agent.maskSeed} size={40} />}
            <span>
              <strong>{point.agent?.name}</strong>
              <span className="faint small">
                {point.kind === 'agent' ? words.agent : words.kinds[point.kind]}
                {point.time !== undefined && ` · ${dateTime(isoOf(point.time))}`}
              </span>
            </span>
          </p>
          {point.kind !== 'agent' && <p>{point.says}</p>}
          {threads.length > 0 && (
            <ul className="globe-found" aria-label={words.threads}>
              {threads.map(({ kind, index }) => (
                <li key={`${kind} ${index}`}>
                  <Button kind="quiet" onClick={() => onShow(index)}>
                    {words.says(words.arcs[kind], nameOf(points[index]!))}
                  </Button>
                </li>
              ))}
            </ul>
          )}
          {point.agent && <Button onClick={() => onOpen(point)}>{words.open(point.agent.name)}</Button>}
        </>
      )}
    </div>
  );
}

interface RegionsProps {
  globe: Globe;
  /** Puts a region before the eye, where there is a picture. */
  onShow: ((place: Place) => void) | undefined;
}

function Regions({ globe, onShow }: RegionsProps) {
  return (
    <Section title={words.regions}>
      {globe.regions.length === 0 ? (
        <p className="soft">{words.noRegions}</p>
      ) : (
        <ul className="globe-found">
          {globe.regions.map(({ clusterId, terms, members, middle }) => {
            const name = words.region(terms.slice(0, 3).join(', '), counted(members, 'agent'));
            return (
              <li key={clusterId}>
                {onShow === undefined ? (
                  name
                ) : (
                  <Button kind="quiet" onClick={() => onShow(placeAt(middle, 0))}>
                    {name}
                  </Button>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Section>
  );
}

function Legend({ globe }: { globe: Globe }) {
  const kinds = [...new Set(globe.memories.kinds)].sort();
  const arcs = [...new Set(globe.arcs.map(({ kind }) => kind))].sort();
  return (
    <ul className="globe-legend" aria-label={words.legend}>
      {(['agent', ...kinds] as const).map((kind) => (
        <li key={kind}>
          <i data-kind={kind === 'agent' ? 'agent' : 'memory'} style={{ background: `var(${pointTokens[kind]})` }} />
          {kind === 'agent' ? words.agent : words.kinds[kind]}
        </li>
      ))}
      {arcs.map((kind) => (
        <li key={kind}>
          <i data-kind="arc" style={{ background: `var(${arcTokens[kind]})` }} />
          {words.arcs[kind]}
        </li>
      ))}
    </ul>
  );
}
