import { StateBadge } from '../parts/badge.tsx';
import { cadenceWords, durationWords } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { Listed } from '../parts/listed.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useAllPages, usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { operationsText } from '../texts/operations.ts';
import { OperationsTabs } from './operations-tabs.tsx';

const words = operationsText;
const seconds = new Intl.NumberFormat(undefined, { style: 'unit', unit: 'second', maximumFractionDigits: 1 });
const mebibytes = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** What happens by the clock, and the backups that are made so. */
export function SchedulesView() {
  const schedules = useAllPages('GET /v1/schedules', { query: { limit: 200 } }, { everyMs: 30_000 });
  const may = useMay('operator');
  const toasts = useToasts();
  const touches = ['GET /v1/schedules'] as const;
  const pause = useWrite('POST /v1/schedules/{id}/pause', { touches });
  const resume = useWrite('POST /v1/schedules/{id}/resume', { touches });
  const trigger = useWrite('POST /v1/schedules/{id}/trigger', { touches });
  return (
    <Page title={words.schedules} lead={words.schedulesLead}>
      <OperationsTabs />
      <Listed of={schedules} empty={<p className="faint">{words.noSchedules}</p>}>
        {(items) => (
          <Table
            caption={words.schedules}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.schedule,
                cell: ({ id, cadence }) => (
                  <>
                    {cadence === null
                      ? (words.scheduleWork[id as 'weave'] ?? id)
                      : words.reflects(cadenceWords(cadence))}{' '}
                    <span className="faint code">{id}</span>
                  </>
                ),
              },
              {
                title: words.every,
                cell: ({ everySeconds }) => (everySeconds === null ? words.byCalendar : durationWords(everySeconds)),
              },
              {
                title: words.state,
                cell: ({ paused, note }) =>
                  paused ? (
                    <>
                      <StateBadge state="paused" /> {note}
                    </>
                  ) : (
                    ''
                  ),
              },
              {
                title: words.next,
                cell: ({ nextRunAt, paused }) => (nextRunAt === null || paused ? '–' : <Time at={nextRunAt} />),
              },
              { title: words.last, cell: ({ lastRunAt }) => (lastRunAt === null ? '–' : <Time at={lastRunAt} />) },
              {
                title: words.acts,
                cell: ({ id, paused }) =>
                  may && (
                    <span className="form-acts">
                      <Button
                        aria-label={words.of(paused ? words.resume : words.pause, id)}
                        disabled={pause.isPending || resume.isPending}
                        onClick={() => (paused ? resume : pause).mutate({ path: { id } }, { onError: toasts.failed })}
                      >
                        {paused ? words.resume : words.pause}
                      </Button>
                      <Button
                        aria-label={words.of(words.trigger, id)}
                        disabled={trigger.isPending}
                        onClick={() =>
                          trigger.mutate(
                            { path: { id } },
                            { onSuccess: () => toasts.done(words.triggered(id)), onError: toasts.failed },
                          )
                        }
                      >
                        {words.trigger}
                      </Button>
                    </span>
                  ),
              },
            ]}
          />
        )}
      </Listed>
      {may && <Backups />}
    </Page>
  );
}

function Backups() {
  const backups = usePages('GET /v1/backups', { query: { limit: 15 } }, { everyMs: 60_000 });
  const drills = usePages('GET /v1/restore-drills', { query: { limit: 5 } }, { everyMs: 60_000 });
  return (
    <>
      <Section title={words.backups}>
        <Listed of={backups} empty={<p className="faint">{words.noBackups}</p>}>
          {(items) => (
            <Table
              caption={words.backups}
              rows={items}
              keyOf={({ id }) => id}
              columns={[
                { title: words.when, cell: ({ startedAt }) => <Time at={startedAt} /> },
                { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
                {
                  title: words.size,
                  cell: ({ bytes }) => (bytes === null ? '–' : `${mebibytes.format(bytes / 2 ** 20)} MiB`),
                  isNumber: true,
                },
                { title: words.reason, cell: ({ reason, copyReason }) => reason || copyReason },
              ]}
            />
          )}
        </Listed>
      </Section>
      <Section title={words.drills}>
        <Listed of={drills} empty={<p className="faint">{words.noDrills}</p>}>
          {(items) => (
            <Table
              caption={words.drills}
              rows={items}
              keyOf={({ id }) => id}
              columns={[
                { title: words.when, cell: ({ startedAt }) => <Time at={startedAt} /> },
                { title: words.state, cell: ({ state }) => <StateBadge state={state} /> },
                {
                  title: words.rto,
                  cell: ({ rtoSeconds }) => (rtoSeconds === null ? '–' : seconds.format(rtoSeconds)),
                  isNumber: true,
                },
                {
                  title: words.rpo,
                  cell: ({ rpoSeconds }) => (rpoSeconds === null ? '–' : seconds.format(rpoSeconds)),
                  isNumber: true,
                },
              ]}
            />
          )}
        </Listed>
      </Section>
    </>
  );
}
