import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useDeferredValue, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { maskOf } from '../../domain/masks.ts';
import type { Item } from '../client.ts';
import { counted } from '../format.ts';
import { StateBadge } from '../parts/badge.tsx';
import { Mask } from '../parts/mask.tsx';
import { Page } from '../parts/page.tsx';
import { Empty, Shown } from '../parts/states.tsx';
import { useAllPages } from '../queries.ts';
import { masksText } from '../texts/masks.ts';
import { type MasksSearch, masksSearch } from './search.ts';
import './masks.css';

const words = masksText;
type Agent = Item<'GET /v1/agents'>;

/** Every agent by its mask (public face). */
export function MasksView() {
  const agents = useAllPages('GET /v1/agents', { query: { limit: 200 } });
  const { rows } = agents;

  const search = masksSearch(useSearch({ strict: false }));
  const navigate = useNavigate();
  const choose = (change: MasksSearch) =>
    void navigate({ to: '/masks', search: masksSearch({ ...search, ...change }), replace: true });
  const found = useFound(rows ?? [], search);

  return (
    <Page title={words.title} lead={words.lead}>
      <Shown
        of={{ data: rows, error: agents.error, refetch: agents.refetch as never }}
        isEmpty={(all) => all.length === 0}
        empty={<Empty title={words.none}>{words.noneText}</Empty>}
      >
        {(all) => (
          <>
            <Filters all={all} search={search} onChoose={choose} />
            <p className="soft" role="status">
              {counted(found.length, 'mask')}
            </p>
            {found.length === 0 ? <Empty title={words.noMatch}>{words.noMatchText}</Empty> : <Grid agents={found} />}
          </>
        )}
      </Shown>
    </Page>
  );
}

function useFound(agents: readonly Agent[], { q = '', archetype, state, drift, machineId }: MasksSearch): Agent[] {
  const asked = useDeferredValue(q);
  const indexed = useMemo(
    () =>
      agents.map((agent) => ({
        agent,
        said: [agent.name, agent.id, agent.archetype, ...agent.traits, maskOf(agent.maskSeed).description]
          .join(' ')
          .toLowerCase(),
      })),
    [agents],
  );
  return useMemo(() => {
    const needles = asked.toLowerCase().split(/\s+/).filter(Boolean);
    return indexed
      .filter(({ said }) => needles.every((needle) => said.includes(needle)))
      .map(({ agent }) => agent)
      .filter(
        (agent) =>
          (archetype === undefined || agent.archetype === archetype) &&
          (state === undefined || agent.state === state) &&
          (drift === undefined || agent.drift?.state === drift) &&
          (machineId === undefined || agent.machineId === machineId),
      );
  }, [indexed, asked, archetype, state, drift, machineId]);
}

interface FiltersProps {
  all: readonly Agent[];
  search: MasksSearch;
  onChoose: (change: MasksSearch) => void;
}

function Filters({ all, search, onChoose }: FiltersProps) {
  const of = (value: (agent: Agent) => string | null | undefined) =>
    [...new Set(all.map(value))].filter((each): each is string => typeof each === 'string').sort();
  const choices = [
    { name: 'archetype', label: words.archetype, values: of(({ archetype }) => archetype) },
    { name: 'state', label: words.state, values: of(({ state }) => state) },
    { name: 'drift', label: words.drift, values: of(({ drift }) => drift?.state) },
    { name: 'machineId', label: words.machine, values: of(({ machineId }) => machineId) },
  ] as const;
  // The address changes later than the key is pressed: put back from there, the caret would jump to the end.
  const [typed, setTyped] = useState(search.q ?? '');
  return (
    <search className="masks-filters">
      <label className="label masks-search">
        {words.search}
        <input
          type="search"
          className="field"
          placeholder={words.searchFor}
          value={typed}
          onChange={({ target }) => {
            setTyped(target.value);
            onChoose({ q: target.value });
          }}
        />
      </label>
      {choices
        .filter(({ values }) => values.length > 0)
        .map(({ name, label, values }) => (
          <label key={name} className="label">
            {label}
            <select
              className="field"
              value={search[name] ?? ''}
              onChange={(event) => onChoose({ [name]: event.target.value })}
            >
              <option value="">{words.all}</option>
              {values.map((value) => (
                <option key={value} value={value}>
                  {value}
                </option>
              ))}
            </select>
          </label>
        ))}
    </search>
  );
}

const leastWidth = 148;
const rowHeight = 196;

/** Only the rows in sight are in the page. */
function Grid({ agents }: { agents: readonly Agent[] }) {
  const box = useRef<HTMLUListElement>(null);
  const [{ columns, top }, setPlace] = useState({ columns: 6, top: 0 });
  useLayoutEffect(() => {
    const measure = () => {
      const { width, top: above } = box.current!.getBoundingClientRect();
      setPlace({ columns: Math.max(2, Math.floor(width / leastWidth)), top: above + scrollY });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const rows = useWindowVirtualizer({
    count: Math.ceil(agents.length / columns),
    estimateSize: () => rowHeight,
    overscan: 4,
    scrollMargin: top,
  });
  return (
    <ul className="masks-grid" ref={box} style={{ height: rows.getTotalSize() }}>
      {rows.getVirtualItems().flatMap(({ index, start }) =>
        agents.slice(index * columns, (index + 1) * columns).map((agent, column) => (
          <li
            key={agent.id}
            aria-setsize={agents.length}
            aria-posinset={index * columns + column + 1}
            style={{
              width: `${100 / columns}%`,
              left: `${(100 * column) / columns}%`,
              transform: `translateY(${start - top}px)`,
              height: rowHeight,
            }}
          >
            <Link to="/agents/$id" params={{ id: agent.id }} className="masks-card">
              <Mask seed={agent.maskSeed} size={84} />
              <strong>{agent.name}</strong>
              <span className="faint">{agent.archetype}</span>
              {agent.state === 'active' ? (
                agent.drift && agent.drift.state !== 'calm' && <StateBadge state={agent.drift.state} />
              ) : (
                <StateBadge state={agent.state} />
              )}
            </Link>
          </li>
        )),
      )}
    </ul>
  );
}
