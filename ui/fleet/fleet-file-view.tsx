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
  return (
    <Page title={words.title} lead={words.lead}>
      {may ? <Shown of={living}>{(files) => <Editor living={files} />}</Shown> : <Forbidden />}
    </Page>
  );
}

type Applied = Answer<'POST /v1/fleet/apply'>;

function Editor({ living }: { living: Answer<'GET /v1/fleet/files'> }) {
  const fleetFile = living.files[0]?.source ?? '';
  const [source, setSource] = useState(fleetFile);
  /**
   * What the text was made of: nothing that somebody else has changed since is taken back by it. After an apply that is what the apply
   * made, whose mark (`etag`) is known once that very version was read.
   */
  const [madeOf, setMadeOf] = useState<{ version: number; etag: string | undefined }>(living);
  if (madeOf.etag === undefined && madeOf.version === living.version) setMadeOf(living);
  const toasts = useToasts();
  const trial = useMutation({
    mutationFn: () =>
      call('POST /v1/fleet/apply', { body: { source }, query: { dryRun: 'true' } }, { ifMatch: madeOf.etag }),
  });
  const apply = useWrite('POST /v1/fleet/apply', {
    touches: ['GET /v1/fleet', 'GET /v1/fleet/files', 'GET /v1/inbox'],
  });
  const isOld = madeOf.etag === undefined ? living.version > madeOf.version : living.etag !== madeOf.etag;
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
              setMadeOf(living);
              trial.reset();
              apply.reset();
            }}
          >
            {words.takeNew}
          </Button>
        </p>
      )}
      <div className="form-acts">
        <Button
          kind={changes ? 'plain' : 'main'}
          disabled={trial.isPending || madeOf.etag === undefined}
          onClick={() => trial.mutate()}
        >
          {words.look}
        </Button>
        <Button
          kind={changes ? 'main' : 'plain'}
          disabled={changes === undefined || changes.length === 0 || apply.isPending}
          onClick={() =>
            apply.mutate(
              { query: {}, body: { source }, options: { ifMatch: madeOf.etag } },
              {
                onSuccess: ({ version }) => {
                  toasts.done(version === null ? words.same : words.applied(version));
                  trial.reset();
                  if (version !== null) setMadeOf({ version, etag: undefined });
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
