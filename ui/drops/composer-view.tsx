import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { call } from '../client.ts';
import { Badge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { useDecisions } from '../parts/decision.ts';
import { AreaField, Choices, TextField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Failed, Forbidden, Loading, Shown } from '../parts/states.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay, useMe } from '../shell/me.ts';
import { dropsText } from '../texts/drops.ts';
import './drops.css';

const words = dropsText;

/** Writes a post, and shows beside it how it will read on each channel. */
export function ComposerView() {
  const me = useMe();
  const may = useMay('creator');
  if (may) return <Composer />;
  return <Page title={words.compose}>{me === undefined ? <Loading /> : <Forbidden />}</Page>;
}

function Composer() {
  const channels = useApi('GET /v1/channels', { query: { limit: 100 } });
  const [title, setTitle] = useState('');
  const [body, setBody] = useState('');
  const [narration, setNarration] = useState('');
  const [agentId, setAgentId] = useState('');
  const [at, setAt] = useState('');
  const [chosen, setChosen] = useState<string[]>([]);
  const decisions = useDecisions();
  const navigate = useNavigate();
  const toasts = useToasts();
  const write = useWrite('POST /v1/drops', { touches: ['GET /v1/drops'] });
  const publish = useWrite('POST /v1/drops/{id}/publish', { touches: ['GET /v1/drops', 'GET /v1/drops/{id}'] });
  const isBusy = write.isPending || publish.isPending;
  const isReady = body.trim() !== '' && chosen.length > 0;

  /** Drafted once, however often it is pressed; then sent on its way, where that is asked for. */
  const save = async (goesOut: boolean) => {
    const drop = { channels: chosen, body, title, narration, ...(agentId === '' ? {} : { agentId: agentId.trim() }) };
    try {
      const { id } = await write.mutateAsync({ body: drop, options: { idempotencyKey: decisions.keyFor(drop) } });
      if (goesOut)
        await publish.mutateAsync({ path: { id }, body: at === '' ? {} : { at: new Date(at).toISOString() } });
      decisions.over(drop);
      await navigate({ to: '/drops/$dropId', params: { dropId: id } });
    } catch (err) {
      toasts.failed(err as Error);
    }
  };

  return (
    <Page title={words.compose} lead={words.composeLead}>
      <div className="drops-composer">
        <div className="form">
          <TextField
            label={words.titleField}
            value={title}
            maxLength={200}
            onChange={(event) => setTitle(event.target.value)}
          />
          <AreaField
            label={words.body}
            rows={8}
            value={body}
            maxLength={10_000}
            onChange={(event) => setBody(event.target.value)}
          />
          <AreaField
            label={words.narrationField}
            hint={words.narrationHint}
            rows={3}
            value={narration}
            maxLength={10_000}
            onChange={(event) => setNarration(event.target.value)}
          />
          <TextField
            label={words.agentField}
            hint={words.agentHint}
            value={agentId}
            maxLength={63}
            onChange={(event) => setAgentId(event.target.value)}
          />
          <Shown
            of={channels}
            isEmpty={({ items }) => items.length === 0}
            empty={<Empty title={words.noChannels}>{words.noChannelsText}</Empty>}
          >
            {({ items }) => (
              <Choices
                label={words.channels}
                type="checkbox"
                options={items.map(({ id, name, kind, stage }) => ({
                  value: id,
                  label: (
                    <>
                      {name} <span className="faint">{words.kinds[kind]}</span>{' '}
                      <Badge tone={stage === 'free' ? 'good' : 'plain'}>{words.stages[stage]}</Badge>
                    </>
                  ),
                }))}
                chosen={chosen}
                onChange={setChosen}
              />
            )}
          </Shown>
          <TextField
            label={words.at}
            hint={words.atHint}
            type="datetime-local"
            value={at}
            onChange={(event) => setAt(event.target.value)}
          />
          <div className="form-acts">
            <Button kind="main" disabled={!isReady || isBusy} onClick={() => void save(true)}>
              {at === '' ? words.publishNow : words.schedule}
            </Button>
            <Button disabled={!isReady || isBusy} onClick={() => void save(false)}>
              {words.keepDraft}
            </Button>
          </div>
        </div>
        <Previews title={title} body={body} channels={chosen} />
      </div>
    </Page>
  );
}

/** As the API will cut it for each channel: not another rule of ours. */
function Previews({ title, body, channels }: { title: string; body: string; channels: string[] }) {
  const [asked, setAsked] = useState({ title, body, channels });
  useEffect(() => {
    const timer = setTimeout(() => setAsked({ title, body, channels }), 400);
    return () => clearTimeout(timer);
  }, [title, body, channels]);
  const previews = useQuery({
    queryKey: ['POST /v1/drops/preview', asked],
    queryFn: ({ signal }) => call('POST /v1/drops/preview', { body: asked }, { signal }),
    enabled: asked.body.trim() !== '' && asked.channels.length > 0,
    gcTime: 0,
    placeholderData: (before) => before,
  });
  return (
    <Section title={words.previews}>
      {asked.channels.length === 0 || asked.body.trim() === '' ? (
        <p className="faint">{words.previewsEmpty}</p>
      ) : previews.data === undefined ? (
        previews.error && <Failed error={previews.error} />
      ) : (
        <ul className="drops-previews" aria-live="polite">
          {previews.data.items.map(({ channelId, name, kind, text: says, characters, cut }) => (
            <li key={channelId} className="panel card">
              <p>
                <strong>{name}</strong> <span className="faint">{words.kinds[kind]}</span>
              </p>
              <p className="said drops-preview">{says}</p>
              <p className="faint">
                {words.length(characters)} · {words.limits[kind]} {cut && <Badge tone="warn">{words.cut}</Badge>}
              </p>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
