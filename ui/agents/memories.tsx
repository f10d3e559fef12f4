import { Search } from 'lucide-react';
import { useState } from 'react';
import { counted } from '../format.ts';
import { Badge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useApi, usePages } from '../queries.ts';
import { text } from '../text.ts';
import { agentText } from '../texts/agent.ts';
import { globeText } from '../texts/globe.ts';
import { ScoreParts } from './score-parts.tsx';

const words = agentText.memory;

/** What the agent remembers: the last first, or what it would recall for a question, with why. */
export function Memories({ agentId }: { agentId: string }) {
  const [typed, setTyped] = useState('');
  const [asked, setAsked] = useState('');
  return (
    <>
      <form
        className="agent-ask"
        onSubmit={(event) => {
          event.preventDefault();
          setAsked(typed.trim());
        }}
      >
        <label className="label">
          {words.ask}
          <input
            type="search"
            className="field"
            value={typed}
            placeholder={words.example}
            onChange={(event) => {
              setTyped(event.target.value);
              if (event.target.value === '') setAsked('');
            }}
          />
        </label>
        <Button type="submit" kind="main">
          <Search aria-hidden />
          {words.recall}
        </Button>
      </form>
      {asked === '' ? <Latest agentId={agentId} /> : <Recalled agentId={agentId} asked={asked} />}
    </>
  );
}

function Recalled({ agentId, asked }: { agentId: string; asked: string }) {
  const found = useApi('GET /v1/agents/{id}/memories/search', {
    path: { id: agentId },
    query: { q: asked, limit: 20 },
  });
  return (
    <Shown of={found} isEmpty={({ items }) => items.length === 0} empty={<Empty title={words.nothing} />}>
      {({ items, scored }) => (
        <>
          <p className="soft small" role="status">
            {words.scored(counted(scored, 'memory', 'memories'))}
          </p>
          <ol className="rows panel">
            {items.map(({ id, text: said, kind, occurredAt, score, parts }) => (
              <li key={id} className="memory">
                <p>{said}</p>
                <p className="faint">
                  <Badge>{globeText.kinds[kind]}</Badge> <Time at={occurredAt} />
                </p>
                <ScoreParts score={score} {...parts} />
              </li>
            ))}
          </ol>
        </>
      )}
    </Shown>
  );
}

function Latest({ agentId }: { agentId: string }) {
  const memories = usePages('GET /v1/agents/{id}/memories', { path: { id: agentId }, query: { limit: 30 } });
  return (
    <Shown
      of={{ data: memories.rows, error: memories.error, refetch: memories.refetch as never }}
      isEmpty={(rows) => rows.length === 0}
      empty={<Empty title={words.none} />}
    >
      {(rows) => (
        <>
          <ol className="rows panel">
            {rows.map(({ id, text: said, kind, occurredAt, importance, deletedAt, deletedReason, validTo }) => (
              <li key={id} className="memory">
                <p>{deletedAt === null ? said : (deletedReason ?? words.forgotten)}</p>
                <p className="faint">
                  <Badge>{globeText.kinds[kind]}</Badge> {words.importance(importance)} · <Time at={occurredAt} />
                  {validTo && ` · ${words.past}`}
                </p>
              </li>
            ))}
          </ol>
          {memories.hasNextPage && (
            <p>
              <Button disabled={memories.isFetchingNextPage} onClick={() => void memories.fetchNextPage()}>
                {text.states.more}
              </Button>
            </p>
          )}
        </>
      )}
    </Shown>
  );
}
