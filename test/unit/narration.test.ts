import { describe, expect, test } from 'vitest';
import { joined, type Line, nextTold, type Told, untilKnown } from '../../ui/narration-overlay/narration.ts';

const line = (n: number): Line => ({
  id: `line-${n}`,
  agentId: 'vesper-001',
  agentName: 'Vesper',
  text: `Line ${n}.`,
  at: new Date(Date.UTC(2026, 10, 20, 0, n)).toISOString(),
  kind: 'reflection',
});

describe('what is narrated next', () => {
  test('is what is new, then what was not told yet, then everything again from the newest', () => {
    let lines = joined([], [line(1), line(2)]);
    let told: Told = { line: lines[0]!, seen: new Set() };
    const ids = [told.line.id];
    for (let i = 0; i < 5; i += 1) {
      if (i === 0) lines = joined(lines, [line(3)]);
      told = nextTold(lines, { ...told, over: 'read' })!;
      expect(told.over).toBeUndefined();
      ids.push(told.line.id);
    }
    expect(ids).toEqual(['line-2', 'line-3', 'line-1', 'line-3', 'line-2', 'line-1']);
  });

  test('is nothing where there is one line, and it was told', () => {
    const told = { line: line(1), seen: new Set<string>() };
    expect(nextTold([line(1)], told)).toBeUndefined();
    expect(nextTold([], told)).toBeUndefined();
    expect(nextTold([line(2), line(1)], told)?.line).toEqual(line(2));
  });
});

describe('what is read of a long list', () => {
  const rows = Array.from({ length: 100 }, (_, i) => ({ id: `row-${i}` }));
  const reader = () => {
    const asked: Array<string | undefined> = [];
    const read = ({ cursor }: { cursor?: string }) => {
      asked.push(cursor);
      const from = Number(cursor ?? 0);
      const next = from + 20;
      return Promise.resolve({ items: rows.slice(from, next), nextCursor: next < rows.length ? String(next) : null });
    };
    return { asked, read };
  };

  test('goes back to what is known, so that nothing between is left out', async () => {
    const { asked, read } = reader();
    expect(await untilKnown(new Set(['row-45']), read)).toEqual(rows.slice(0, 60));
    expect(asked).toEqual([undefined, '20', '40']);
  });

  test('is one page where nothing is known, and ends with the list or with as many pages as are wanted', async () => {
    const first = reader();
    expect(await untilKnown(new Set(), first.read)).toEqual(rows.slice(0, 20));
    expect(first.asked).toHaveLength(1);
    expect(await untilKnown(new Set(['another']), reader().read)).toEqual(rows);
    const bounded = reader();
    await untilKnown(new Set(['another']), bounded.read, 2);
    expect(bounded.asked).toHaveLength(2);
  });
});
