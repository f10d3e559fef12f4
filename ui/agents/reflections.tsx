import { useEffect, useRef, useState } from 'react';
import type { Thing } from '../client.ts';
import { counted, dateTime } from '../format.ts';
import { Listed } from '../parts/listed.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useApi, usePages } from '../queries.ts';
import { agentText } from '../texts/agent.ts';
import { fleetText } from '../texts/fleet.ts';
import { ScoreParts } from './score-parts.tsx';

const words = agentText.reflection;

/** What the agent has concluded; each opens to the memories that it rests on. */
export function Reflections({ agentId, open }: { agentId: string; open?: string | undefined }) {
  const reflections = usePages('GET /v1/reflections', { query: { agentId, limit: 20 } });
  const isFurther =
    open !== undefined && reflections.rows !== undefined && !reflections.rows.some(({ id }) => id === open);
  const linked = useApi('GET /v1/reflections/{id}', { path: { id: open ?? '' } }, { enabled: isFurther });
  return (
    <Listed of={reflections} empty={<Empty title={words.none} />}>
      {(rows) => (
        <ul className="rows panel">
          {/* What a link leads to is shown first where it is too old for the first page. */}
          {isFurther && linked.data && <Reflection key={open} reflection={linked.data} isOpen />}
          {rows.map((reflection) => (
            <Reflection key={reflection.id} reflection={reflection} isOpen={reflection.id === open} />
          ))}
        </ul>
      )}
    </Listed>
  );
}

function Reflection({ reflection, isOpen }: { reflection: Thing<'Reflection'>; isOpen: boolean }) {
  const [wanted, setWanted] = useState(isOpen);
  const row = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (isOpen) row.current?.scrollIntoView({ block: 'nearest' });
  }, [isOpen]);
  const { id, text: said, source, modelId, memories, createdAt, degraded, forgottenAt, machineId } = reflection;
  return (
    <li ref={row}>
      <p className="agent-insight">{forgottenAt === null ? said : words.forgotten}</p>
      <p className="faint">
        {source === 'extractive' ? fleetText.extractive : modelId} · {machineId ?? words.imported}
        {degraded && ` · ${fleetText.degraded}`} · <Time at={createdAt} />
      </p>
      <details open={isOpen} onToggle={({ currentTarget }) => currentTarget.open && setWanted(true)}>
        <summary>{words.evidence(counted(memories, 'memory', 'memories'))}</summary>
        {wanted && <Evidence id={id} />}
      </details>
    </li>
  );
}

function Evidence({ id }: { id: string }) {
  const explained = useApi('GET /v1/reflections/{id}/explain', { path: { id } });
  return (
    <Shown of={explained}>
      {({ evidence, call, prompt, note }) => (
        <div className="evidence">
          <ol className="rows">
            {evidence.map(({ memoryId, text: said, occurredAt, scored, alias }) => (
              <li key={memoryId} className="memory">
                <p>
                  {alias && <span className="code soft">[{alias}] </span>}
                  {said}
                </p>
                <p className="faint">{dateTime(occurredAt)}</p>
                {scored && <ScoreParts {...scored} />}
              </li>
            ))}
          </ol>
          {call?.question && (
            <p className="soft">
              {words.question} {call.question}
            </p>
          )}
          {note && <p className="faint">{note}</p>}
          {prompt && (
            <details>
              <summary>{words.prompt}</summary>
              {prompt.messages.map(({ role, content }, i) => (
                <pre key={`${role} ${i}`} className="prompt">
                  {content}
                </pre>
              ))}
            </details>
          )}
        </div>
      )}
    </Shown>
  );
}
