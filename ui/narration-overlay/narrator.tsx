import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Pause, Play, Volume2, VolumeX, X } from 'lucide-react';
import { type RefObject, useEffect, useMemo, useState } from 'react';
import { call } from '../client.ts';
import { onEvent } from '../live.ts';
import { Button } from '../parts/button.tsx';
import { SelectField } from '../parts/fields.tsx';
import { Time } from '../parts/time.tsx';
import { text } from '../text.ts';
import { narrationText } from '../texts/narration.ts';
import { joined, type Line, nextTold, readingMs, type Told, toldBy, untilKnown } from './narration.ts';
import './narration-overlay.css';

const words = narrationText;
const none: readonly Line[] = [];
const gatherMs = 1_500;
const speeds = [0.75, 1, 1.5, 2] as const;
const canSpeak = 'speechSynthesis' in globalThis;
const prefersStill = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

interface Props {
  closeButton: RefObject<HTMLButtonElement | null>;
  onClose: () => void;
}

/** Reflections and drops, told as they come, over whatever view is open. */
export function Narrator({ closeButton, onClose }: Props) {
  const { lines, isRead, error } = useLines();
  const [followed, setFollowed] = useState('');
  const [isPaused, setPaused] = useState(prefersStill);
  const [isSpoken, setSpoken] = useState(false);
  const [speed, setSpeed] = useState(1);
  const told = useMemo(() => lines.filter(({ agentId }) => followed === '' || agentId === followed), [lines, followed]);
  const line = useTold(told, { followed, isPaused, isSpoken, speed });
  const agents = [
    ...new Map(lines.flatMap(({ agentId, agentName }) => (agentId === null ? [] : [[agentId, agentName] as const]))),
  ];

  return (
    <aside className="narration" aria-label={words.title}>
      <div className="narration-head">
        <strong>{words.title}</strong>
        <Button ref={closeButton} kind="quiet" onClick={onClose} aria-label={text.app.close}>
          <X aria-hidden />
        </Button>
      </div>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
      <div className="narration-caption" tabIndex={0} aria-live={isPaused || isSpoken ? 'off' : 'polite'} aria-atomic>
        {line ? (
          <>
            <p className="narration-who">
              {line.agentName} · {words.kinds[line.kind]}
            </p>
            <p className="narration-text">{line.text}</p>
          </>
        ) : (
          <p className="soft">{isRead ? words.nothing : error ? error.message : text.states.loading}</p>
        )}
      </div>
      <div className="narration-acts">
        <Button onClick={() => setPaused(!isPaused)}>
          {isPaused ? <Play aria-hidden /> : <Pause aria-hidden />} {isPaused ? words.goOn : words.pause}
        </Button>
        {canSpeak && (
          <Button onClick={() => setSpoken(!isSpoken)} aria-pressed={isSpoken}>
            {isSpoken ? <Volume2 aria-hidden /> : <VolumeX aria-hidden />} {words.speak}
          </Button>
        )}
      </div>
      <details>
        <summary>{words.more}</summary>
        <div className="narration-more">
          <SelectField
            label={words.speed}
            value={String(speed)}
            onChange={(event) => setSpeed(Number(event.target.value))}
            options={speeds.map((value) => ({ value: String(value), label: `${value.toLocaleString()} ×` }))}
          />
          <SelectField
            label={words.follow}
            value={followed}
            onChange={(event) => setFollowed(event.target.value)}
            options={[{ value: '', label: words.everybody }, ...agents.map(([value, label]) => ({ value, label }))]}
          />
          <h3>{words.history}</h3>
          {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
          <ol className="narration-history" tabIndex={0} aria-label={words.history}>
            {told.slice(0, 50).map(({ id, agentName, text: says, at }) => (
              <li key={id}>
                <span className="faint">
                  {agentName} · <Time at={at} />
                </span>
                <p>{says}</p>
              </li>
            ))}
          </ol>
        </div>
      </details>
    </aside>
  );
}

/** What there is to tell: the last ones, then what events bring. */
function useLines(): { lines: readonly Line[]; isRead: boolean; error: Error | null } {
  const client = useQueryClient();
  const latest = useQuery({
    queryKey: ['narration'],
    queryFn: async ({ signal }): Promise<Line[]> => {
      const told = client.getQueryData<Line[]>(['narration']) ?? [];
      const known = new Set(told.map(({ id }) => id));
      const [reflections, drops] = await Promise.all([
        untilKnown(known, (page) => call('GET /v1/reflections', { query: { limit: 20, ...page } }, { signal })),
        untilKnown(known, (page) =>
          call('GET /v1/drops', { query: { limit: 20, state: 'published', ...page } }, { signal }),
        ),
      ]);
      const found: Line[] = [
        ...reflections.map((each) => ({
          id: each.id,
          agentId: each.agentId,
          agentName: each.agentName,
          text: each.text,
          at: each.createdAt,
          kind: 'reflection' as const,
        })),
        ...drops.map((drop) => ({
          id: drop.id,
          agentId: drop.agentId,
          agentName: drop.agentId ?? words.you,
          text: drop.narration || drop.body,
          at: drop.endedAt ?? drop.createdAt,
          kind: 'drop' as const,
        })),
      ];
      return joined(told, found);
    },
  });
  const { data, error, refetch } = latest;
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOld = false;
    let isGone = false;
    // Many come at once in a sweep: they are read together, and no reading is cut off by the next event.
    const readAgain = async () => {
      isOld = false;
      await refetch({ cancelRefetch: false });
      timer = isOld && !isGone ? setTimeout(() => void readAgain(), gatherMs) : undefined;
    };
    const stop = onEvent((event) => {
      if (!toldBy(event)) return;
      isOld = true;
      timer ??= setTimeout(() => void readAgain(), gatherMs);
    });
    return () => {
      isGone = true;
      stop();
      clearTimeout(timer);
    };
  }, [refetch]);
  return { lines: data ?? none, isRead: data !== undefined, error };
}

interface Telling {
  /** Of which agent; empty: of everybody. */
  followed: string;
  isPaused: boolean;
  isSpoken: boolean;
  speed: number;
}

/** One line after the other, by the time that it takes to read or say it; what comes meanwhile is told next, and cuts nothing off. */
function useTold(lines: readonly Line[], { followed, isPaused, isSpoken, speed }: Telling): Line | undefined {
  const way = isSpoken ? 'said' : 'read';
  const [told, setTold] = useState<Told>();
  const isFollowed = told !== undefined && (followed === '' || told.line.agentId === followed);
  const first = lines[0];
  if (!isFollowed) {
    if (told?.line !== first) setTold(first && { line: first, seen: told?.seen ?? new Set() });
  } else if (told.over === way) {
    // What was only read is said once more to who turns speech on.
    const next = nextTold(lines, told);
    if (next) setTold(next);
  }

  useEffect(() => {
    if (!told || told.over === way) return;
    const { line } = told;
    if (isPaused) return;
    const goOn = () => setTold({ ...told, over: way });
    if (way === 'read') {
      const timer = setTimeout(goOn, readingMs(line.text, speed));
      return () => clearTimeout(timer);
    }
    const utterance = new SpeechSynthesisUtterance(`${line.agentName}. ${line.text}`);
    utterance.rate = speed;
    utterance.addEventListener('end', goOn);
    // Without a voice, or not allowed to speak: it is told all the same.
    const goOnInTime = () => {
      timer = setTimeout(goOn, readingMs(line.text, speed));
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    utterance.addEventListener('error', goOnInTime);
    speechSynthesis.speak(utterance);
    return () => {
      clearTimeout(timer);
      utterance.removeEventListener('end', goOn);
      utterance.removeEventListener('error', goOnInTime);
      speechSynthesis.cancel();
    };
  }, [told, way, isPaused, speed]);
  return told?.line;
}
