/** Fills paths as `domain/masks.ts` writes them (M m L l H V C c a Z, arcs of circles alone) into pixels. Pure. */

export type Point = readonly [x: number, y: number];
export interface Line {
  points: Point[];
  closed: boolean;
}

const stepsOfCurve = 12;
const rowsOfPixel = 3;
const cornersOfCap = 12;

/** The lines of a path, curves as many short ones. */
export function linesOf(d: string): Line[] {
  const lines: Line[] = [];
  let [x, y] = [0, 0];
  let points: Point[] = [];
  const end = (closed: boolean) => {
    if (points.length > 1) lines.push({ points, closed });
    points = [];
  };
  const to = (nextX: number, nextY: number) => {
    [x, y] = [nextX, nextY];
    points.push([x, y]);
  };
  for (const [, command = '', written = ''] of d.matchAll(/([A-Za-z])([^A-Za-z]*)/g)) {
    const numbers = (written.match(/-?(?:\d+\.?\d*|\.\d+)/g) ?? []).map(Number);
    const isRelative = command !== command.toUpperCase();
    const at = (i: number): Point => [numbers[i]! + (isRelative ? x : 0), numbers[i + 1]! + (isRelative ? y : 0)];
    switch (command.toUpperCase()) {
      case 'M':
        end(false);
        for (let i = 0; i < numbers.length; i += 2) to(...at(i));
        break;
      case 'L':
        for (let i = 0; i < numbers.length; i += 2) to(...at(i));
        break;
      case 'H':
        to(numbers[0]! + (isRelative ? x : 0), y);
        break;
      case 'V':
        to(x, numbers[0]! + (isRelative ? y : 0));
        break;
      case 'C':
        for (let i = 0; i < numbers.length; i += 6) {
          const [from, first, second, last]: Point[] = [[x, y], at(i), at(i + 2), at(i + 4)];
          for (let step = 1; step <= stepsOfCurve; step += 1)
            to(...curvePoint(from!, first!, second!, last!, step / stepsOfCurve));
        }
        break;
      case 'A':
        for (let i = 0; i < numbers.length; i += 7) halfCircle(at(i + 5), numbers[i + 4]! === 1);
        break;
      case 'Z':
        end(true);
        break;
      default:
        throw new RangeError(`a path has the command ${command}`);
    }
  }
  end(false);
  return lines;

  /** Masks have circles alone, each as two halves. */
  function halfCircle([endX, endY]: Point, clockwise: boolean): void {
    const [middleX, middleY] = [(x + endX) / 2, (y + endY) / 2];
    const radius = Math.hypot(endX - x, endY - y) / 2;
    const begin = Math.atan2(y - middleY, x - middleX);
    for (let step = 1; step <= stepsOfCurve; step += 1) {
      const angle = begin + ((clockwise ? 1 : -1) * Math.PI * step) / stepsOfCurve;
      to(middleX + radius * Math.cos(angle), middleY + radius * Math.sin(angle));
    }
  }
}

function curvePoint(a: Point, b: Point, c: Point, d: Point, t: number): [number, number] {
  const s = 1 - t;
  const one = (i: 0 | 1) => s ** 3 * a[i] + 3 * s * s * t * b[i] + 3 * s * t * t * c[i] + t ** 3 * d[i];
  return [one(0), one(1)];
}

/** A line of some width as pieces to fill: each part of it, and a round end at each point. */
export function outlineOf({ points, closed }: Line, radius: number): Point[][] {
  const all = closed ? [...points, points[0]!] : points;
  const pieces: Point[][] = all.map(([x, y]) =>
    Array.from({ length: cornersOfCap }, (_, i): Point => {
      const angle = (2 * Math.PI * i) / cornersOfCap;
      return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
    }),
  );
  for (const [i, [toX, toY]] of all.entries()) {
    const [fromX, fromY] = all[i - 1] ?? [toX, toY];
    const length = Math.hypot(toX - fromX, toY - fromY);
    if (length === 0) continue;
    const [sideX, sideY] = [(-(toY - fromY) / length) * radius, ((toX - fromX) / length) * radius];
    pieces.push([
      [fromX + sideX, fromY + sideY],
      [toX + sideX, toY + sideY],
      [toX - sideX, toY - sideY],
      [fromX - sideX, fromY - sideY],
    ]);
  }
  return pieces;
}

/** The pixels that lie within outlines taken together, and how much of each does. */
export function* spansOf(
  outlines: ReadonlyArray<readonly Point[]>,
  { width, height }: { width: number; height: number },
): Generator<{ row: number; column: number; share: number }> {
  const edges = outlines.flatMap((points) =>
    points.map((point, i) => [point, points[(i + 1) % points.length]!] as const),
  );
  const ys = edges.map(([[, y]]) => y);
  const first = Math.max(0, Math.floor(Math.min(...ys)));
  const last = Math.min(height - 1, Math.floor(Math.max(...ys)));
  for (let row = first; row <= last; row += 1) {
    const shares = new Map<number, number>();
    for (let part = 0; part < rowsOfPixel; part += 1) {
      const y = row + (part + 0.5) / rowsOfPixel;
      for (const [from, to] of insides(edges, y)) {
        for (let column = Math.max(0, Math.floor(from)); column < Math.min(width, to); column += 1) {
          const covered = Math.min(to, column + 1) - Math.max(from, column);
          shares.set(column, (shares.get(column) ?? 0) + covered / rowsOfPixel);
        }
      }
    }
    for (const [column, share] of shares) yield { row, column, share: Math.min(1, share) };
  }
}

/** Where a row is inside: the edges it crosses do not cancel each other out. */
function insides(edges: ReadonlyArray<readonly [Point, Point]>, y: number): Array<[from: number, to: number]> {
  const crossings = edges
    .filter(([[, fromY], [, toY]]) => fromY <= y !== toY <= y)
    .map(([[fromX, fromY], [toX, toY]]) => ({
      x: fromX + ((y - fromY) / (toY - fromY)) * (toX - fromX),
      turn: toY > fromY ? 1 : -1,
    }))
    .toSorted((a, b) => a.x - b.x);
  const spans: Array<[number, number]> = [];
  let turns = 0;
  let from = 0;
  for (const { x, turn } of crossings) {
    if (turns === 0) from = x;
    turns += turn;
    if (turns === 0) spans.push([from, x]);
  }
  return spans;
}
