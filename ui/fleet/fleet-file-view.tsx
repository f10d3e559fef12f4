import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { type Answer, call } from '../client.ts';
import { Button } from '../parts/button.tsx';
import { AreaField } from '../parts/fields.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Failed, Forbidden, Shown } from '../parts/states.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { fleetText } from '../texts/fleet.ts';
import './fleet.css';

const words = fleetText.file;

/** The fleet's file as it lives, to be changed: what would come of it first, then that it is so. */
export function FleetFileView() {
  const may = useMay('operator');
  const living = useApi('GET /v1/fleet/files', {}, { enabled: may });
  const readAgain = async () => (await living.refetch()).data?.etag;
  return (
    <Page title={words.title} lead={words.lead}>
      {may ? <Shown of={living}>{(files) => <Editor living={files} readAgain={readAgain} />}</Shown> : <Forbidden />}
    </Page>
  );
}

type Applied = Answer<'POST /v1/fleet/apply'>;

interface EditorProps {
  living: Answer<'GET /v1/fleet/files'>;
  /** @returns what stands there now */
  readAgain: () => Promise<string | undefined>;
}

function Editor({ living, readAgain }: EditorProps) {
  const fleetFile = living.files[0]?.source ?? '';
  const [source, setSource] = useState(fleetFile);
  /** What the text was made of: nothing that somebody else has changed since is taken back by it. */
  const [madeOf, setMadeOf] = useState(living.etag);
  const toasts = useToasts();
  const trial = useMutation({
    mutationFn: () =>
      call('POST /v1/fleet/apply', { body: { source }, query: { dryRun: 'true' } }, { ifMatch: madeOf }),
  });
  const apply = useWrite('POST /v1/fleet/apply', { touches: ['GET /v1/fleet', 'GET /v1/inbox'] });
  const [isOwn, setOwn] = useState(false);
  const isOld = madeOf !== living.etag && !isOwn;
  const changes = trial.data?.changes;
  const failed = trial.error ?? apply.error;
  return (
    <>
      <AreaField
        label={words.source}
        hint={words.hint}
        className="field fleet-file"
        rows={24}
        spellCheck={false}
        value={source}
        onChange={(event) => {
          setSource(event.target.value);
          // What was told of another text says nothing of this one.
          trial.reset();
        }}
      />
      {isOld && (
        <p className="away" role="status">
          {words.changedMeanwhile}{' '}
          <Button
            onClick={() => {
              setSource(fleetFile);
              setMadeOf(living.etag);
              trial.reset();
              apply.reset();
            }}
          >
            {words.takeNew}
          </Button>
        </p>
      )}
      <div className="form-acts">
        <Button kind={changes ? 'plain' : 'main'} disabled={trial.isPending || isOwn} onClick={() => trial.mutate()}>
          {words.look}
        </Button>
        <Button
          kind={changes ? 'main' : 'plain'}
          disabled={changes === undefined || changes.length === 0 || apply.isPending}
          onClick={() =>
            apply.mutate(
              { query: {}, body: { source }, options: { ifMatch: madeOf } },
              {
                onSuccess: ({ version }) => {
                  toasts.done(version === null ? words.same : words.applied(version));
                  trial.reset();
                  // From here on it is made of what was applied just now, as soon as that is read.
                  setOwn(true);
                  void readAgain().then((etag) => {
                    if (etag !== undefined) setMadeOf(etag);
                    setOwn(false);
                  });
                },
              },
            )
          }
        >
          {words.apply}
        </Button>
      </div>
      {failed && <Failed error={failed} />}
      <div role="status">
        {changes && (
          <Section title={words.changes}>
            {changes.length === 0 ? (
              <p>{words.same}</p>
            ) : (
              <ul className="panel rows">
                {changes.map((change) => (
                  <li key={told(change)}>{told(change)}</li>
                ))}
              </ul>
            )}
          </Section>
        )}
      </div>
    </>
  );
}

const told = ({ action, kind, id, fields, note }: Applied['changes'][number]) =>
  [`${words.kinds[kind]} ${id}: ${words.actions[action]}`, fields.map(({ field }) => field).join(', '), note]
    .filter(Boolean)
    .join(' · ');
