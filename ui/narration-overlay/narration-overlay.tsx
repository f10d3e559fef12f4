import { useQuery, useQueryClient } from '@tanstack/react-query';
import { AudioLines, Pause, Play, Volume2, VolumeX, X } from 'lucide-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { call } from '../client.ts';
import { onEvent } from '../live.ts';
import { Button } from '../parts/button.tsx';
import { SelectField } from '../parts/fields.tsx';
import { Time } from '../parts/time.tsx';
import { text } from '../text.ts';
import { joined, type Line, readingMs, toldBy } from './narration.ts';
import './narration-overlay.css';

const words = text.narration;
const none: readonly Line[] = [];
const speeds = [0.75, 1, 1.5, 2] as const;
const canSpeak = 'speechSynthesis' in globalThis;
const prefersStill = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Reflections and drops, told as they come, over whatever view is open; closed until somebody asks for it. */
export function NarrationOverlay() {
  const [isOpen, setOpen] = useState(() => localStorage.getItem('soulfra.narration') === 'open');
  const turn = (open: boolean) => {
    localStorage.setItem('soulfra.narration', open ? 'open' : 'closed');
    setOpen(open);
  };
  if (isOpen) return <Narrator onClose={() => turn(false)} />;
  return (
    <Button className="narration-open" onClick={() => turn(true)} aria-label={words.open}>
      <AudioLines aria-hidden />
    </Button>
  );
}

function Narrator({ onClose }: { onClose: () => void }) {
  const { lines, isRead } = useLines();
  const [followed, setFollowed] = useState('');
  const [isPaused, setPaused] = useState(prefersStill);
  const [isSpoken, setSpoken] = useState(false);
  const [speed, setSpeed] = useState(1);
  const told = useMemo(() => lines.filter(({ agentId }) => followed === '' || agentId === followed), [lines, followed]);
  const line = useTold(told, { isPaused, isSpoken, speed });
  const agents = [
    ...new Map(lines.flatMap(({ agentId, agentName }) => (agentId === null ? [] : [[agentId, agentName] as const]))),
  ];

  return (
    <aside className="narration" aria-label={words.title}>
      <div className="narration-head">
        <strong>{words.title}</strong>
        <Button kind="quiet" onClick={onClose} aria-label={text.app.close}>
          <X aria-hidden />
        </Button>
      </div>
      <div className="narration-caption" aria-live={isPaused || isSpoken ? 'off' : 'polite'} aria-atomic>
        {line ? (
          <>
            <p className="narration-who">
              {line.agentName} · {words.kinds[line.kind]}
            </p>
            <p className="narration-text">{line.text}</p>
          </>
        ) : (
          <p className="soft">{isRead ? words.nothing : text.states.loading}</p>
        )}
      </div>
      <div className="narration-acts">
        <Button onClick={() => setPaused(!isPaused)} aria-pressed={isPaused}>
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
            options={speeds.map((value) => ({ value: String(value), label: `${value} ×` }))}
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
function useLines(): { lines: readonly Line[]; isRead: boolean } {
  const client = useQueryClient();
  const latest = useQuery({
    queryKey: ['narration'],
    queryFn: async ({ signal }): Promise<Line[]> => {
      const [reflections, drops] = await Promise.all([
        call('GET /v1/reflections', { query: { limit: 20 } }, { signal }),
        call('GET /v1/drops', { query: { limit: 20, state: 'published' } }, { signal }),
      ]);
      const found: Line[] = [
        ...reflections.items.map((each) => ({
          id: each.id,
          agentId: each.agentId,
          agentName: each.agentName,
          text: each.text,
          at: each.createdAt,
          kind: 'reflection' as const,
        })),
        ...drops.items.map((drop) => ({
          id: drop.id,
          agentId: drop.agentId,
          agentName: drop.agentId ?? words.you,
          text: drop.narration || drop.body,
          at: drop.endedAt ?? drop.createdAt,
          kind: 'drop' as const,
        })),
      ];
      return joined(client.getQueryData<Line[]>(['narration']) ?? [], found);
    },
  });
  const { data, refetch } = latest;
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onEvent((event) => {
      if (!toldBy(event) || timer !== undefined) return;
      // Many come at once in a sweep: read once for all of them.
      timer = setTimeout(() => {
        timer = undefined;
        void refetch();
      }, 1_500);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [refetch]);
  return { lines: data ?? none, isRead: data !== undefined };
}

/** One line after the other, by the time that it takes to read or say it; what is new is told next. */
function useTold(
  lines: readonly Line[],
  { isPaused, isSpoken, speed }: { isPaused: boolean; isSpoken: boolean; speed: number },
): Line | undefined {
  const [id, setId] = useState<string>();
  const seen = useRef(new Set<string>());
  const line = lines.find((each) => each.id === id) ?? lines[0];
  useEffect(() => {
    if (!line) return;
    seen.current.add(line.id);
    if (isPaused) return;
    const goOn = () => {
      const unseen = lines.find((each) => !seen.current.has(each.id));
      // All were told: from the beginning, which is the newest.
      if (!unseen) seen.current.clear();
      setId((unseen ?? lines[0])?.id);
    };
    if (!isSpoken) {
      const timer = setTimeout(goOn, readingMs(line.text, speed));
      return () => clearTimeout(timer);
    }
    const utterance = new SpeechSynthesisUtterance(`${line.agentName}. ${line.text}`);
    utterance.rate = speed;
    utterance.addEventListener('end', goOn);
    speechSynthesis.speak(utterance);
    return () => {
      utterance.removeEventListener('end', goOn);
      speechSynthesis.cancel();
    };
  }, [line, lines, isPaused, isSpoken, speed]);
  return line;
}
