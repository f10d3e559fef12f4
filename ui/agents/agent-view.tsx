import { Tabs } from '@base-ui/react/tabs';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { Pause, Play, Sparkles } from 'lucide-react';
import { maskOf } from '../../domain/masks.ts';
import type { Thing } from '../client.ts';
import { cadenceWords, count, dateTime, decimal } from '../format.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Button } from '../parts/button.tsx';
import { newKey } from '../parts/decision.ts';
import { Figures } from '../parts/figures.tsx';
import { Mask } from '../parts/mask.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, Failed, Loading } from '../parts/states.tsx';
import { Time } from '../parts/time.tsx';
import { useToasts } from '../parts/toasts.tsx';
import { useApi, useWrite } from '../queries.ts';
import { useMay } from '../shell/me.ts';
import { agentText } from '../texts/agent.ts';
import { AgentWork } from './agent-work.tsx';
import { DriftLine } from './drift-line.tsx';
import { LineageTree } from './lineage-tree.tsx';
import { Memories } from './memories.tsx';
import { Reflections } from './reflections.tsx';
import { agentSearch, agentTabs, type AgentTab } from './search.ts';
import { Talk } from './talk.tsx';
import './agents.css';

const words = agentText;

/** One agent: who it is, what it remembers and concludes, and a talk with it. */
export function AgentView() {
  const { id = '' } = useParams({ strict: false }) as { id?: string };
  const agent = useApi('GET /v1/agents/{id}', { path: { id }, query: {} });
  const { tab = 'persona', reflection } = agentSearch(useSearch({ strict: false }));
  const navigate = useNavigate();
  if (agent.data === undefined) {
    const isNone = agent.error?.status === 404;
    return (
      <Page title={id}>
        {isNone ? (
          <Empty title={words.none} />
        ) : agent.error ? (
          <Failed error={agent.error} onAgain={() => void agent.refetch()} />
        ) : (
          <Loading />
        )}
      </Page>
    );
  }
  const { name, archetype, maskSeed, state, drift, paused } = agent.data;
  const choose = (next: AgentTab) =>
    void navigate({ to: '/agents/$id', params: { id }, search: agentSearch({ tab: next }), replace: true });
  return (
    <Page
      title={name}
      lead={
        <span className="agent-lead">
          {archetype} <StateBadge state={paused ? 'paused' : state} /> {drift && <StateBadge state={drift.state} />}
        </span>
      }
      acts={<Acts agent={agent.data} />}
    >
      <div className="agent-body">
        <aside className="agent-aside">
          <Mask seed={maskSeed} size={208} isDecoration={false} />
          <p className="faint">{maskOf(maskSeed).description}</p>
        </aside>
        <Tabs.Root value={tab} onValueChange={choose} className="agent-tabs">
          <Tabs.List className="tabs" aria-label={words.parts}>
            {agentTabs.map((each) => (
              <Tabs.Tab key={each} value={each} className="tab">
                {words.tabs[each]}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          <Tabs.Panel value="persona" className="section">
            <Persona agent={agent.data} />
          </Tabs.Panel>
          <Tabs.Panel value="talk" className="section">
            <Talk agentId={id} name={name} />
          </Tabs.Panel>
          <Tabs.Panel value="memories" className="section">
            <Memories agentId={id} />
          </Tabs.Panel>
          <Tabs.Panel value="reflections" className="section">
            <Reflections agentId={id} open={reflection} />
          </Tabs.Panel>
          <Tabs.Panel value="lineage" className="section">
            <LineageTree agentId={id} />
          </Tabs.Panel>
          <Tabs.Panel value="work" className="section">
            <AgentWork agentId={id} />
          </Tabs.Panel>
        </Tabs.Root>
      </div>
    </Page>
  );
}

function Acts({ agent: { id, name, paused, state } }: { agent: Thing<'AgentDetail'> }) {
  const may = useMay('member');
  const { done, failed } = useToasts();
  const touches = ['GET /v1/agents/{id}', 'GET /v1/agents'] as const;
  const pause = useWrite('POST /v1/agents/{id}/pause', { touches });
  const resume = useWrite('POST /v1/agents/{id}/resume', { touches });
  const trigger = useWrite('POST /v1/agents/{id}/trigger');
  if (!may || state === 'retired' || state === 'dormant') return null;
  const path = { id };
  return (
    <>
      <Button
        disabled={paused ? resume.isPending : pause.isPending}
        onClick={() => (paused ? resume : pause).mutate({ path, query: {} }, { onError: failed })}
      >
        {paused ? <Play aria-hidden /> : <Pause aria-hidden />}
        {paused ? words.resume : words.pause}
      </Button>
      <Button
        kind="main"
        disabled={trigger.isPending || paused}
        onClick={() =>
          trigger.mutate(
            { path, query: {}, options: { idempotencyKey: newKey() } },
            { onSuccess: () => done(words.triggered(name)), onError: failed },
          )
        }
      >
        <Sparkles aria-hidden />
        {words.trigger}
      </Button>
    </>
  );
}

function Persona({ agent }: { agent: Thing<'AgentDetail'> }) {
  const { persona, traits, memories, unread, ego, modelId, machineId, cadence, lastRun, nextRunAt, why } = agent;
  return (
    <>
      <p className="agent-persona">{persona}</p>
      <ul className="agent-traits">
        {traits.map((trait) => (
          <li key={trait} className="badge">
            {trait}
          </li>
        ))}
      </ul>
      <Figures
        of={[
          { label: words.memories, value: count(memories) },
          { label: words.unread, value: count(unread) },
          { label: words.ego, value: decimal(ego / 1e6) },
        ]}
      />
      <dl className="facts">
        <dt>{words.model}</dt>
        <dd>{modelId}</dd>
        <dt>{words.machine}</dt>
        <dd>
          {machineId ?? words.noMachine}
          {why && <span className="soft"> · {why}</span>}
        </dd>
        <dt>{words.cadence}</dt>
        <dd>
          {words.every(cadenceWords(cadence))}
          {nextRunAt && <span className="soft"> · {words.next(dateTime(nextRunAt))}</span>}
        </dd>
        {lastRun && (
          <>
            <dt>{words.lastRun}</dt>
            <dd>
              <StateBadge state={lastRun.state} /> <Time at={lastRun.endedAt ?? lastRun.createdAt} />
              {lastRun.reason && <span className="soft"> · {lastRun.reason}</span>}
            </dd>
          </>
        )}
        <dt>{words.born}</dt>
        <dd>
          {dateTime(agent.createdAt)} · {words.generation(agent.generation)}
        </dd>
      </dl>
      <DriftLine agentId={agent.id} />
    </>
  );
}
