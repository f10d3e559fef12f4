import { Link } from '@tanstack/react-router';
import { ExternalLink } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';
import type { Item, Thing } from '../client.ts';
import { count, counted, dateTime, decimal, gib } from '../format.ts';
import { Badge, StateBadge, toneOf } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { Listed } from '../parts/listed.tsx';
import { Figures } from '../parts/figures.tsx';
import { Meter } from '../parts/meter.tsx';
import { Page, Section } from '../parts/page.tsx';
import { Empty, Failed, Loading, Shown } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, usePages, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { fleetText } from '../texts/fleet.ts';
import { operationsText } from '../texts/operations.ts';
import { FleetMap } from './fleet-map.tsx';
import { MachineActs } from './machine-acts.tsx';
import { Progress, RunDialog } from './run-dialog.tsx';
import { type Simulated, SimulatedLoss, movesOf } from './simulated-loss.tsx';
import { Sweeps, TriggerSweep } from './sweeps.tsx';
import './fleet.css';

const words = fleetText;

/** Machines, what they do, and how they are. */
export function FleetView() {
  const fleet = useApi('GET /v1/fleet', {}, { everyMs: 15_000 });
  const plan = useApi('GET /v1/fleet/plan', {}, { enabled: Boolean(fleet.data?.plan) });
  const map = useApi('GET /v1/fleet/map', {}, { enabled: fleet.data !== undefined, everyMs: 15_000 });
  const [simulated, setSimulated] = useState<Simulated>();
  const simulate = useWrite('POST /v1/fleet/simulate');
  const { failed } = useToasts();
  const stage = useRef<HTMLDivElement>(null);
  const may = useMay('operator');
  const home = map.data?.machines.find(({ id }) => id === simulated?.machineId)?.agents ?? 0;
  const moved = useMemo(() => (simulated === undefined ? [] : movesOf(simulated, home)), [simulated, home]);
  const lose = (machineId: string) =>
    simulate.mutate(
      { query: {}, body: { lose: [machineId] } },
      {
        onError: failed,
        onSuccess: (report) => {
          setSimulated({ machineId, report });
          stage.current?.scrollIntoView({ block: 'start' });
        },
      },
    );
  if (fleet.error?.status === 404) {
    return (
      <Page title={words.title}>
        <Empty title={words.none}>{words.noneText}</Empty>
      </Page>
    );
  }
  if (fleet.data === undefined) {
    return (
      <Page title={words.title}>
        {fleet.error ? <Failed error={fleet.error} onAgain={() => void fleet.refetch()} /> : <Loading />}
      </Page>
    );
  }
  const { name, agents, runs, machines, plan: current } = fleet.data;
  return (
    <Page
      title={words.title}
      lead={words.lead(name, current ? words.plan(current.version, current.state) : words.noPlan)}
      acts={
        <>
          {may && (
            <Link to="/fleet/file" className="button">
              {words.file.title}
            </Link>
          )}
          <TriggerSweep />
        </>
      }
    >
      <Figures
        of={[
          { label: words.agents, value: count(agents.total) },
          { label: words.running, value: count(runs.running) },
          { label: words.queued, value: count(runs.queued) },
          { label: words.parked, value: count(runs.parked) },
          { label: words.unplaced, value: count(agents.unplaced) },
        ]}
      />
      <Sweeps />
      <Section title={words.map.title}>
        <div ref={stage} className="section fleet-stage">
          {simulated && <SimulatedLoss simulated={simulated} onClose={() => setSimulated(undefined)} />}
          <Shown of={map}>{(data) => <FleetMap map={data} moved={moved} />}</Shown>
        </div>
      </Section>
      <Section title={words.machines}>
        {plan.error && <Failed error={plan.error} onAgain={() => void plan.refetch()} />}
        <ul className="machines">
          {machines.map((machine) => (
            <Machine
              key={machine.id}
              machine={machine}
              busy={runs.runningByMachine[machine.id] ?? 0}
              planned={plan.data?.plan?.machines.find(({ machineId }) => machineId === machine.id)}
              onSimulate={() => lose(machine.id)}
            />
          ))}
        </ul>
      </Section>
      <Queues of={runs.queues} />
      {(plan.data?.plan?.hours.length ?? 0) > 0 && (
        <Section title={words.hours}>
          <div className="panel section">
            {plan.data?.plan?.hours.map(({ gpuClass, needed, available }) => (
              <Meter
                key={gpuClass}
                label={words.hoursOf(gpuClass)}
                value={needed}
                most={available}
                tone={needed > available ? 'warn' : 'plain'}
                says={words.hoursSay(decimal(needed), decimal(available))}
              />
            ))}
          </div>
        </Section>
      )}
      <HealthNow />
      <Reflections />
      <Runs />
    </Page>
  );
}

type Planned = Thing<'PlanSummary'>['machines'][number];

interface MachineProps {
  machine: Thing<'Machine'>;
  planned: Planned | undefined;
  busy: number;
  onSimulate: () => void;
}

function Machine({ machine, planned, busy, onSimulate }: MachineProps) {
  const { id, state, reason, gpus, runsAs, models, resident, idle, lacks, slots, agents, yields } = machine;
  const loaded = [...resident, ...idle.map(({ modelId, since }) => words.idleModel(modelId, dateTime(since)))];
  return (
    <li className="panel machine" data-state={state}>
      <div className="section-head">
        <h3>{id}</h3>
        <StateBadge state={state} />
      </div>
      <p className="soft small">{gpus.map((gpu) => `${gpu.name}, ${gib(gpu.vramGiB)}`).join(' · ')}</p>
      {reason && <p className="small">{reason}</p>}
      {yields && <p className="small">{words.yields(yields)}</p>}
      {planned && (
        <Meter
          label={words.vram}
          value={planned.vramUsedGiB}
          most={planned.vramUsableGiB}
          says={words.vramOf(gib(planned.vramUsedGiB), gib(planned.vramUsableGiB))}
        />
      )}
      <Meter label={words.slots} value={busy} most={slots} says={`${count(busy)} / ${count(slots)}`} />
      <p className="small">
        <span className="faint">{words.kept}</span> {models.join(' · ') || words.noModels}
      </p>
      <p className="small">
        <span className="faint">{runsAs === 'simulated' ? words.served : words.resident}</span>{' '}
        {loaded.join(' · ') || words.noModels}
      </p>
      {lacks.length > 0 && <p className="small">{words.lacks(lacks.join(' · '))}</p>}
      <p className="faint">
        {counted(agents, 'agent')}
        {runsAs === 'simulated' && ` · ${words.simulated}`}
      </p>
      <MachineActs machine={machine} onSimulate={onSimulate} />
    </li>
  );
}

function Queues({ of }: { of: Thing<'Fleet'>['runs']['queues'] }) {
  return (
    <Section title={words.queues}>
      {of.length === 0 ? (
        <p className="faint">{words.noQueues}</p>
      ) : (
        <Table
          caption={words.queues}
          rows={of}
          keyOf={({ queue, modelId }) => `${queue} ${modelId}`}
          columns={[
            { title: words.queue.name, cell: ({ queue }) => queue },
            { title: words.queue.model, cell: ({ modelId }) => modelId },
            { title: words.queue.waiting, cell: ({ waiting }) => count(waiting), isNumber: true },
            { title: words.queue.running, cell: ({ running }) => count(running), isNumber: true },
            {
              title: words.queue.since,
              cell: ({ waitingSince }) => (waitingSince === null ? '–' : <Time at={waitingSince} />),
            },
          ]}
        />
      )}
    </Section>
  );
}

function HealthNow() {
  const health = useApi('GET /v1/health/summary', {}, { everyMs: 30_000 });
  return (
    <Section title={words.health}>
      <Shown of={health}>
        {({ state, reason, worst }) =>
          state === 'ok' && worst.length === 0 ? (
            <p role="status">
              <Badge tone="good">{words.well}</Badge>
            </p>
          ) : (
            <div className="panel" role="status">
              {reason && <p>{reason}</p>}
              <ul className="rows">
                {worst.slice(0, 6).map((subject) => (
                  <li key={`${subject.kind} ${subject.id}`}>
                    <Badge tone={toneOf(subject.state)}>{operationsText.healthStates[subject.state]}</Badge>{' '}
                    {operationsText.healthKinds[subject.kind]} {subject.name || subject.id}: {subject.reason}
                  </li>
                ))}
              </ul>
            </div>
          )
        }
      </Shown>
    </Section>
  );
}

function Reflections() {
  const reflections = useApi('GET /v1/reflections', { query: { limit: 6 } });
  return (
    <Section title={words.reflections}>
      <Shown of={reflections} isEmpty={({ items }) => items.length === 0} empty={<Empty title={words.noReflections} />}>
        {({ items }) => (
          <ol className="panel rows">
            {items.map((reflection) => (
              <li key={reflection.id}>
                <p>{reflection.text}</p>
                <p className="faint">
                  <Link
                    to="/agents/$id"
                    params={{ id: reflection.agentId }}
                    search={{ tab: 'reflections', reflection: reflection.id }}
                  >
                    {reflection.agentName}
                  </Link>{' '}
                  · {words.from(counted(reflection.memories, 'memory', 'memories'))} ·{' '}
                  {reflection.source === 'extractive' ? words.extractive : reflection.modelId}
                  {reflection.degraded && ` · ${words.degraded}`} · <Time at={reflection.createdAt} />
                </p>
              </li>
            ))}
          </ol>
        )}
      </Shown>
    </Section>
  );
}

function Runs() {
  // A step that is done is told by no event.
  const runs = usePages('GET /v1/runs', { query: { limit: 15 } }, { everyMs: 10_000 });
  const [shown, setShown] = useState<Item<'GET /v1/runs'>>();
  return (
    <Section title={words.runs}>
      <Listed of={runs} empty={<Empty title={words.noRuns} />}>
        {(items) => (
          <Table
            caption={words.runs}
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: words.run.agent,
                cell: ({ agentId }) => (
                  <Link to="/agents/$id" params={{ id: agentId }}>
                    {agentId}
                  </Link>
                ),
              },
              { title: words.run.state, cell: ({ state }) => <StateBadge state={state} /> },
              { title: words.run.progress, cell: ({ progress }) => progress && <Progress of={progress} /> },
              { title: words.run.machine, cell: ({ machineId }) => machineId ?? '–' },
              {
                title: words.run.model,
                cell: ({ modelId, degraded }) => (degraded ? `${modelId} (${words.degraded})` : modelId),
              },
              { title: words.run.reflections, cell: ({ reflections }) => count(reflections), isNumber: true },
              { title: words.run.reason, cell: ({ reason }) => reason },
              {
                title: words.run.when,
                cell: ({ endedAt, startedAt, createdAt }) => <Time at={endedAt ?? startedAt ?? createdAt} />,
              },
              {
                title: words.run.why,
                cell: (run) => (
                  <Button aria-label={words.run.whyOf(run.agentId)} onClick={() => setShown(run)}>
                    {words.run.why}
                  </Button>
                ),
              },
              {
                title: words.run.workflow,
                cell: ({ links }) =>
                  links.temporal && (
                    <a href={links.temporal} target="_blank" rel="noreferrer" aria-label={words.temporal}>
                      <ExternalLink size={16} aria-hidden />
                    </a>
                  ),
              },
            ]}
          />
        )}
      </Listed>
      {shown && <RunDialog id={shown.id} agentId={shown.agentId} onClose={() => setShown(undefined)} />}
    </Section>
  );
}
