import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { dateTime } from '../format.ts';
import { Button } from '../parts/button.tsx';
import { type Column, Table } from '../parts/table.tsx';
import { text } from '../text.ts';
import { globeText } from '../texts/globe.ts';
import { nameOf, type Point } from './points.ts';

const words = globeText;
const pageRows = 50;

interface Props {
  points: readonly Point[];
  isShown: (point: Point) => boolean;
  /** Whether it stands open by itself: where there is no picture. */
  isOpen: boolean;
  /** Shows a point on the picture, where there is one. */
  onShow: ((index: number) => void) | undefined;
}

/** What is on the globe, as rows: the same for who does not see it or whose browser does not draw it. */
export function GlobeTable({ points, isShown, isOpen, onShow }: Props) {
  const [most, setMost] = useState(pageRows);
  // Nothing is laid out that nobody has opened.
  const [wasOpened, setOpened] = useState(false);
  const rows = points.flatMap((point, index) => (isShown(point) ? [{ point, index }] : []));
  type Row = (typeof rows)[number];
  const columns: Array<Column<Row>> = [
    { title: words.columns.says, cell: ({ point: { says } }) => says },
    {
      title: words.columns.kind,
      cell: ({ point: { kind } }) => (kind === 'agent' ? words.agent : words.kinds[kind]),
    },
    {
      title: words.columns.agent,
      cell: ({ point: { agent } }) =>
        agent && (
          <Link to="/agents/$id" params={{ id: agent.id }}>
            {agent.name}
          </Link>
        ),
    },
    {
      title: words.columns.threads,
      cell: ({ point: { threads } }) =>
        threads
          .filter(({ index }) => isShown(points[index]!))
          .map(({ kind, index }) => words.says(words.arcs[kind], nameOf(points[index]!)))
          .join(' · '),
    },
    {
      title: words.columns.when,
      cell: ({ point: { time } }) => (time === undefined ? '' : dateTime(new Date(time * 1000).toISOString())),
    },
  ];
  if (onShow !== undefined)
    columns.push({
      title: words.columns.go,
      cell: ({ point, index }) => (
        <Button
          kind="quiet"
          aria-label={words.showOf(point.kind === 'agent' ? point.says : point.says.slice(0, 60))}
          onClick={() => onShow(index)}
        >
          {words.show}
        </Button>
      ),
    });
  return (
    <details open={isOpen || wasOpened} onToggle={({ currentTarget }) => setOpened(currentTarget.open)}>
      <summary>{words.table}</summary>
      {(isOpen || wasOpened) && (
        <>
          <Table caption={words.table} rows={rows.slice(0, most)} keyOf={({ point: { id } }) => id} columns={columns} />
          {rows.length > most && <Button onClick={() => setMost(most + pageRows)}>{text.states.more}</Button>}
        </>
      )}
    </details>
  );
}
