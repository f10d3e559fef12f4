import { useQueryClient } from '@tanstack/react-query';
import { Send } from 'lucide-react';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { type Item, Problem, addressOf } from '../client.ts';
import { type StreamEvent, readEvents } from '../event-stream.ts';
import { Badge, StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { newKey } from '../parts/decision.ts';
import { Shown } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useApi } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { agentText } from '../texts/agent.ts';
import { fleetText } from '../texts/fleet.ts';

const words = agentText.talk;
type Message = Item<'GET /v1/agents/{id}/messages'>;

interface UnderWay {
  /** Of the message, once it is kept. */
  id?: string | undefined;
  said: string;
  answer: string;
  /** Empty while all goes well. */
  problem: string;
}

/** Whether an answer is written, or will never be. */
const isOver = (state: Message['state']) => state !== 'received' && state !== 'answering';

/** A conversation; the answer is read as it is written. */
export function Talk({ agentId, name }: { agentId: string; name: string }) {
  const queries = useQueryClient();
  const may = useMay('member');
  const messages = useApi('GET /v1/agents/{id}/messages', { path: { id: agentId }, query: { limit: 20 } });
  const [typed, setTyped] = useState('');
  const [underWay, setUnderWay] = useState<UnderWay>();
  const conversation = useRef<string>(undefined);
  const gone = useRef(new AbortController());
  useEffect(() => {
    gone.current = new AbortController();
    return () => gone.current.abort();
  }, []);

  const send = async (event: FormEvent) => {
    event.preventDefault();
    const said = typed.trim();
    if (said === '' || (underWay && underWay.problem === '')) return;
    setTyped('');
    setUnderWay({ said, answer: '', problem: '' });
    let ended: Message | undefined;
    let isKept = false;
    const hear = ({ type, data }: StreamEvent) => {
      if (data === '') return;
      const told = JSON.parse(data) as { id?: string; conversationId?: string; text?: string; from?: number };
      if (type === 'queued') {
        isKept = true;
        conversation.current = told.conversationId;
        setUnderWay((now) => now && { ...now, id: told.id });
      }
      // Another machine begins anew: what the first one wrote is void.
      else if (type === 'restart') setUnderWay((now) => now && { ...now, answer: '' });
      else if (type === 'token') {
        setUnderWay((now) => now && { ...now, answer: now.answer.slice(0, told.from) + (told.text ?? '') });
      } else if (type === 'answer' || type === 'failed') ended = told as Message;
    };
    try {
      await readEvents(addressOf('POST /v1/agents/{id}/messages', { path: { id: agentId }, query: {} }), {
        method: 'POST',
        signal: gone.current.signal,
        headers: { 'idempotency-key': newKey() },
        body: { text: said, ...(conversation.current ? { conversationId: conversation.current } : {}) },
        onEvent: hear,
      });
      await queries.invalidateQueries({ queryKey: ['GET /v1/agents/{id}/messages'] });
      setUnderWay(ended?.state === 'failed' ? { said, answer: '', problem: ended.reason } : undefined);
    } catch (err) {
      if (gone.current.signal.aborted) return;
      // What was refused, or did not leave, is not lost.
      if (!isKept) setTyped((now) => now || said);
      const refusal = err instanceof Problem ? `${err.message} ${err.mend}` : words.unsent;
      setUnderWay((now) => now && { ...now, problem: isKept ? words.cut : refusal });
    }
  };

  return (
    <>
      <Shown of={messages}>
        {({ items }) => (
          <ol className="talk" aria-label={words.title(name)}>
            {items.length === 0 && !underWay && <li className="soft">{words.none(name)}</li>}
            {items
              .toReversed()
              .filter(({ id, state }) => id !== underWay?.id || isOver(state))
              .map((message) => (
                <Exchange key={message.id} message={message} />
              ))}
            {underWay && !items.some(({ id, state }) => id === underWay.id && isOver(state)) && (
              <li>
                <p className="talk-said">{underWay.said}</p>
                <div className="talk-answer" aria-live="polite" aria-busy={underWay.problem === ''}>
                  {underWay.problem === '' ? underWay.answer || words.thinking : underWay.problem}
                </div>
              </li>
            )}
          </ol>
        )}
      </Shown>
      {may && (
        <form className="agent-ask" onSubmit={(event) => void send(event)}>
          <label className="label">
            {words.say(name)}
            <textarea
              className="field"
              rows={2}
              maxLength={8000}
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
                  event.preventDefault();
                  event.currentTarget.form?.requestSubmit();
                }
              }}
            />
          </label>
          <Button type="submit" kind="main" disabled={underWay?.problem === ''}>
            <Send aria-hidden />
            {words.send}
          </Button>
        </form>
      )}
    </>
  );
}

function Exchange({ message }: { message: Message }) {
  const { text: said, answer, state, reason, citations, source, modelId, degraded, createdAt } = message;
  return (
    <li>
      <p className="talk-said">{said}</p>
      <div className="talk-answer">
        {answer ? <p>{answer}</p> : <StateBadge state={state} />}
        {reason && <p className="soft small">{reason}</p>}
        <p className="faint">
          {source === 'extractive' ? <Badge tone="info">{words.extractive}</Badge> : modelId}
          {degraded && ` · ${fleetText.degraded}`} · <Time at={createdAt} />
        </p>
        {citations.length > 0 && (
          <details>
            <summary>{words.rests}</summary>
            <ol className="rows small">
              {citations.map(({ alias, memoryId, text: remembered, occurredAt }) => (
                <li key={memoryId}>
                  <span className="code soft">[{alias}]</span> {remembered}{' '}
                  <span className="faint">
                    <Time at={occurredAt} />
                  </span>
                </li>
              ))}
            </ol>
          </details>
        )}
      </div>
    </li>
  );
}
