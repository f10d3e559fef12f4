import { createRandom } from '../domain/random.ts';
import { pixelsPng } from '../integrations/importers/png.ts';
import { type Html, html } from './html.ts';

/** The mask (public face) of what is sold, made of its seed alone: as SVG on our pages, as PNG for those who show a preview. */

type Colour = readonly [red: number, green: number, blue: number];
/** In a square from 0 to 100; `turn` in degrees about its middle. */
interface Shape {
  kind: 'oval' | 'box';
  x: number;
  y: number;
  rx: number;
  ry: number;
  turn: number;
  colour: Colour;
}
interface Mask {
  ground: Colour;
  shapes: Shape[];
}

/** @param hue degrees @param light 0 to 1 */
function colourOf(hue: number, saturation: number, light: number): Colour {
  const channel = (n: number) => {
    const k = (n + hue / 30) % 12;
    const part = light - saturation * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(part * 255);
  };
  return [channel(0), channel(8), channel(4)];
}

function maskOf(seed: number): Mask {
  const random = createRandom(seed);
  const between = (least: number, most: number) => least + random.next() * (most - least);
  const hue = random.int(360);
  const other = (hue + random.pick([30, 150, 180, 210])) % 360;
  const face = colourOf(other, 0.5, between(0.68, 0.82));
  const dark = colourOf(hue, 0.45, 0.16);
  const mark = colourOf(hue, 0.6, 0.45);
  const shapes: Shape[] = [];
  const oval = (x: number, y: number, rx: number, ry: number, colour: Colour, turn = 0) =>
    shapes.push({ kind: 'oval', x, y, rx, ry, turn, colour });
  const box = (x: number, y: number, rx: number, ry: number, colour: Colour, turn = 0) =>
    shapes.push({ kind: 'box', x, y, rx, ry, turn, colour });
  /** The same on both sides. */
  const both = (draw: (side: 1 | -1) => void) => {
    draw(-1);
    draw(1);
  };

  const horns = random.int(4);
  const lean = between(15, 40);
  if (horns === 1) both((side) => oval(50 + side * 24, 22, 7, 20, mark, side * lean));
  if (horns === 2) both((side) => oval(50 + side * 30, 34, 14, 14, mark));
  if (horns === 3) for (let i = -2; i <= 2; i += 1) box(50 + i * 11, 18 + Math.abs(i) * 4, 3, 13, mark, i * 12);
  const width = between(25, 33);
  oval(50, 54, width, between(33, 39), face);
  const paint = random.int(4);
  if (paint === 0) box(50, 54, width * 0.16, 32, mark);
  if (paint === 1) both((side) => oval(50 + side * 16, 66, 7, 5, mark));
  if (paint === 2) oval(50, 32, 6, 9, mark, 0);
  if (paint === 3) both((side) => box(50 + side * 13, 72, 2, 9, mark, side * 14));
  const gap = between(11, 15);
  const slant = between(-22, 22);
  const eye = between(4, 7.5);
  both((side) => oval(50 + side * gap, 50, eye * 1.35, eye, dark, side * slant));
  both((side) => oval(50 + side * gap, 50, eye * 0.4, eye * 0.4, face));
  if (random.int(2) === 0) both((side) => box(50 + side * gap, 40, eye * 1.4, 1.6, dark, side * (slant + 8)));
  const mouth = random.int(3);
  if (mouth === 0) oval(50, 75, between(7, 13), 2.4, dark);
  if (mouth === 1) oval(50, 75, 5, between(4, 7), dark);
  if (mouth === 2) both((side) => box(50 + side * 5, 75, 6, 1.6, dark, side * between(-18, 18)));
  return { ground: colourOf(hue, 0.4, 0.3), shapes };
}

const hex = (colour: Colour) => `#${colour.map((part) => part.toString(16).padStart(2, '0')).join('')}`;
const short = (n: number) => Number(n.toFixed(2));

/** Beside a name that says whose it is, so it is hidden from who listens. */
export function maskSvg(seed: number): Html {
  const { ground, shapes } = maskOf(seed);
  return html`<svg class="mask" viewBox="0 0 100 100" aria-hidden="true" focusable="false"><rect width="100" height="100" fill="${hex(ground)}"/>${shapes.map(
    ({ kind, x, y, rx, ry, turn, colour }) => {
      const at = `rotate(${short(turn)} ${short(x)} ${short(y)})`;
      return kind === 'oval'
        ? html`<ellipse cx="${short(x)}" cy="${short(y)}" rx="${short(rx)}" ry="${short(ry)}" fill="${hex(colour)}" transform="${at}"/>`
        : html`<rect x="${short(x - rx)}" y="${short(y - ry)}" width="${short(2 * rx)}" height="${short(2 * ry)}" rx="${short(Math.min(rx, ry) / 2)}" fill="${hex(colour)}" transform="${at}"/>`;
    },
  )}</svg>`;
}

/** What pages that show previews ask for at the least, by Open Graph. */
export const previewSize = { width: 600, height: 315 };

/** The mask in the middle of a wide picture. */
export function maskPreview(seed: number): Buffer {
  const { width, height } = previewSize;
  const { ground, shapes } = maskOf(seed);
  const pixels = Buffer.alloc(width * height * 3, Buffer.from(ground));
  const scale = height / 100;
  const left = (width - height) / 2;
  for (const shape of shapes) {
    const { x, y, rx, ry } = shape;
    const reach = Math.hypot(rx, ry) * scale + 2;
    const [middleX, middleY] = [left + x * scale, y * scale];
    for (let row = Math.max(0, Math.floor(middleY - reach)); row < Math.min(height, middleY + reach); row += 1)
      for (
        let column = Math.max(0, Math.floor(middleX - reach));
        column < Math.min(width, middleX + reach);
        column += 1
      )
        paint(
          pixels,
          (row * width + column) * 3,
          covered(shape, (column - left) / scale, row / scale, scale),
          shape.colour,
        );
  }
  return pixelsPng({ width, height, pixels });
}

/** How much of the pixel at this place the shape covers, by four points in it. */
function covered(shape: Shape, x: number, y: number, scale: number): number {
  const step = 0.5 / scale;
  let points = 0;
  for (const dx of [step / 2, step * 1.5])
    for (const dy of [step / 2, step * 1.5]) if (holds(shape, x + dx, y + dy)) points += 1;
  return points / 4;
}

function holds({ kind, x, y, rx, ry, turn }: Shape, px: number, py: number): boolean {
  const angle = (-turn * Math.PI) / 180;
  const [dx, dy] = [px - x, py - y];
  const u = (dx * Math.cos(angle) - dy * Math.sin(angle)) / rx;
  const v = (dx * Math.sin(angle) + dy * Math.cos(angle)) / ry;
  return kind === 'oval' ? u * u + v * v <= 1 : Math.abs(u) <= 1 && Math.abs(v) <= 1;
}

function paint(pixels: Buffer, at: number, share: number, colour: Colour): void {
  if (share === 0) return;
  for (const [i, part] of colour.entries()) pixels[at + i] = Math.round(pixels[at + i]! * (1 - share) + part * share);
}
