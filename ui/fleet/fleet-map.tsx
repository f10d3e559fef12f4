import { Link } from '@tanstack/react-router';
import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Thing } from '../client.ts';
import { counted } from '../format.ts';
import { toneOf } from '../parts/badge.tsx';
import { Table } from '../parts/table.tsx';
import { fleetText } from '../texts/fleet.ts';
import { type Dot, layoutYards } from './yards.ts';

const words = fleetText.map;

/** Where agents go that a simulation moves: from, to (null: nowhere), how many. */
export interface Moved {
  from: string;
  to: string | null;
  agents: number;
}

/** Every agent and service as a dot in its machine; a dot moves when its machine changes. */
export function FleetMap({ map, moved = [] }: { map: Thing<'FleetMap'>; moved?: readonly Moved[] }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const dots = useMemo(() => placed(map, moved), [map, moved]);
  const nowhere = dots.some(({ machineId }) => machineId === null);
  const yardIds = [...map.machines.map(({ id }) => id), ...(nowhere ? [null] : [])];
  const { yards, places, height } = layoutYards({ width, yardIds, dots });
  const counts = yardIds.map((id) => {
    const own = dots.filter(({ machineId }) => machineId === id);
    const services = own.filter(({ kind }) => kind === 'service').length;
    return { id, name: id ?? words.nowhere, agents: own.length - services, services };
  });
  const stateOf = new Map(map.machines.map(({ id, state }) => [id, state]));
  return (
    <div className="fleet-map" ref={box}>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={counts.map(({ name, agents }) => words.says(name, counted(agents, 'agent'))).join(', ')}
        >
          {yards.map(({ id, x, y, w, h }) => (
            <g key={id ?? 'nowhere'} className="yard" data-state={id === null ? 'nowhere' : stateOf.get(id)}>
              <rect x={x} y={y} width={w} height={h} rx={14} />
              <text x={x + 16} y={y + 26}>
                {id ?? words.nowhere}
              </text>
            </g>
          ))}
          {dots.map((dot) => {
            const { x, y } = places.get(dot.key)!;
            return (
              <g
                key={dot.key}
                className="dot"
                data-kind={dot.kind}
                data-tone={dot.tone}
                style={{ transform: `translate(${x}px, ${y}px)` }}
              >
                {dot.kind === 'agent' ? <circle r={4.5} /> : <rect x={-5} y={-5} width={10} height={10} rx={2.5} />}
                <title>{dot.says}</title>
              </g>
            );
          })}
        </svg>
      )}
      <details>
        <summary>{words.table}</summary>
        <Table
          caption={words.title}
          rows={counts}
          keyOf={({ name }) => name}
          columns={[
            {
              title: words.machine,
              cell: ({ id, name }) =>
                id === null ? (
                  name
                ) : (
                  <Link to="/masks" search={{ machineId: id }}>
                    {name}
                  </Link>
                ),
            },
            { title: words.agents, cell: ({ agents }) => agents, isNumber: true },
            { title: words.services, cell: ({ services }) => services, isNumber: true },
          ]}
        />
      </details>
    </div>
  );
}

function placed({ agents, services }: Thing<'FleetMap'>, moved: readonly Moved[]): Dot[] {
  const left = moved.map((each) => ({ ...each }));
  const now = (machineId: string | null) => {
    const move = left.find(({ from, agents: rest }) => from === machineId && rest > 0);
    if (move === undefined) return machineId;
    move.agents -= 1;
    return move.to;
  };
  return [
    ...services.map(({ id, machineId, state, reason }) => ({
      key: `service ${id}`,
      kind: 'service' as const,
      machineId,
      tone: toneOf(state),
      says: [id, state, reason].filter(Boolean).join(' · '),
    })),
    ...agents.map(({ id, name, machineId, state, modelId, why }) => ({
      key: id,
      kind: 'agent' as const,
      machineId: now(machineId),
      tone: state === 'active' ? ('good' as const) : toneOf(state),
      says: [name, modelId, why].filter(Boolean).join(' · '),
    })),
  ];
}
