import { maskOf, type MaskShape, maskSize } from '../domain/masks.ts';
import { pixelsPng } from '../integrations/importers/png.ts';
import { type Html, html } from './html.ts';
import { linesOf, outlineOf, type Point, spansOf } from './path-filling.ts';

/** The mask (public face) of what is sold: as SVG on our pages, as PNG for those who show a preview. */

/** Beside a name that says whose it is, so it is hidden from who listens. */
export function maskSvg(seed: number): Html {
  const mirror = `matrix(-1 0 0 1 ${maskSize} 0)`;
  const path = ({ d, fill = 'none', stroke = 'none', width = 2 }: MaskShape, transform = '') =>
    html`<path d="${d}" fill="${fill}" stroke="${stroke}" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round" transform="${transform}"/>`;
  return html`<svg class="mask" viewBox="0 0 ${maskSize} ${maskSize}" aria-hidden="true" focusable="false">${maskOf(
    seed,
  ).shapes.map((shape) => [path(shape), shape.mirrored === true && path(shape, mirror)])}</svg>`;
}

/** What pages that show previews ask for at the least, by Open Graph. */
export const previewSize = { width: 600, height: 315 };
const ground = '#1a1d26';
const margin = 24;

/** The mask in the middle of a wide picture. */
export function maskPreview(seed: number): Buffer {
  const { width, height } = previewSize;
  const pixels = Buffer.alloc(width * height * 3, Buffer.from(colourOf(ground)));
  const scale = (height - 2 * margin) / maskSize;
  const left = (width - maskSize * scale) / 2;
  for (const { d, fill, stroke, width: lineWidth = 2, mirrored = false } of maskOf(seed).shapes) {
    for (const side of mirrored ? [1, -1] : [1]) {
      const placed = linesOf(d).map(({ points, closed }) => ({
        closed,
        points: points.map(([x, y]): Point => [left + (side === 1 ? x : maskSize - x) * scale, margin + y * scale]),
      }));
      if (fill !== undefined && fill !== 'none')
        paint(
          pixels,
          placed.map(({ points }) => points),
          fill,
        );
      if (stroke !== undefined)
        // Each piece of a line by itself: pieces that lie over one another are painted over.
        for (const piece of placed.flatMap((each) => outlineOf(each, (lineWidth * scale) / 2)))
          paint(pixels, [piece], stroke);
    }
  }
  return pixelsPng({ width, height, pixels });
}

function paint(pixels: Buffer, outlines: ReadonlyArray<readonly Point[]>, colour: string): void {
  const parts = colourOf(colour);
  for (const { row, column, share } of spansOf(outlines, previewSize)) {
    const at = (row * previewSize.width + column) * 3;
    for (let i = 0; i < 3; i += 1) pixels[at + i] = Math.round(pixels[at + i]! * (1 - share) + parts[i]! * share);
  }
}

/** `#20222b` */
function colourOf(hex: string): [red: number, green: number, blue: number] {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
