import { createRandom, type Random } from './random.ts';

/** A path of a mask in a square of 96; `mirrored`: drawn once more on the other side. */
export interface MaskShape {
  d: string;
  fill?: string;
  stroke?: string;
  width?: number;
  mirrored?: boolean;
}

/** What tells one mask from another, in words; no two masks of a town share all of them. */
export interface MaskFeatures {
  glaze: string;
  paint: string;
  face: string;
  crown: string;
  eyes: string;
  brow: string;
  nose: string;
  mouth: string;
  marking: string;
}

export interface Mask {
  features: MaskFeatures;
  /** In a sentence, for who does not see it. */
  description: string;
  shapes: MaskShape[];
}

export const maskSize = 96;

/** Fired clay: middling tones, which stand on paper as well as on ink. */
const glazes: Record<string, string> = {
  ochre: '#d79b3c',
  brick: '#bb5a3c',
  rose: '#cf7f86',
  plum: '#8a5484',
  indigo: '#5a68b4',
  sky: '#6ba3cc',
  verdigris: '#4d9d8b',
  moss: '#7c9146',
  bone: '#dccfae',
  slate: '#75818f',
  umber: '#8c6746',
  ash: '#a9a39b',
};
const paints: Record<string, string> = {
  ink: '#20222b',
  chalk: '#f7f1e2',
  vermilion: '#d8442f',
  gold: '#f2c84b',
  teal: '#1d5f66',
  violet: '#4b2f73',
};
const outline = '#20222b';

/** Half or whole outlines of the face; each is closed and stands around (48, 52). */
const faces: Record<string, string> = {
  oval: 'M48 16C68 16 76 32 75 52C74 72 62 88 48 88C34 88 22 72 21 52C20 32 28 16 48 16Z',
  round: 'M48 18C68 18 80 33 80 52C80 72 66 86 48 86C30 86 16 72 16 52C16 33 28 18 48 18Z',
  long: 'M48 12C62 12 70 24 69 46C68 72 60 92 48 92C36 92 28 72 27 46C26 24 34 12 48 12Z',
  shield: 'M22 20C38 15 58 15 74 20C77 44 74 66 48 90C22 66 19 44 22 20Z',
  heart: 'M48 22C54 14 74 14 77 32C80 54 62 76 48 90C34 76 16 54 19 32C22 14 42 14 48 22Z',
  square: 'M26 18H70C75 18 77 21 77 26L74 76C74 83 70 87 63 87H33C26 87 22 83 22 76L19 26C19 21 21 18 26 18Z',
  'six-sided': 'M48 14L76 30L73 70L48 90L23 70L20 30Z',
  pear: 'M48 16C60 16 66 26 68 40C71 54 80 60 78 70C76 82 62 88 48 88C34 88 20 82 18 70C16 60 25 54 28 40C30 26 36 16 48 16Z',
};

type Part = (colours: { glaze: string; paint: string }) => MaskShape[];
const line = (d: string, stroke: string, width = 3): MaskShape => ({ d, stroke, width });
const both = (shape: MaskShape): MaskShape => ({ ...shape, mirrored: true });

const crowns: Record<string, Part> = {
  'a bare brow': () => [],
  horns: ({ paint }) => [both({ d: 'M32 24C22 18 16 8 20 1C24 9 34 12 42 18Z', fill: paint })],
  'round ears': ({ glaze }) => [both({ d: 'M34 24C22 26 14 16 20 9C27 3 38 10 40 19Z', fill: glaze })],
  'pointed ears': ({ glaze, paint }) => [
    both({ d: 'M22 36L14 4L42 20Z', fill: glaze }),
    both({ d: 'M24 26L19 11L33 20Z', fill: paint }),
  ],
  'a crown of rays': ({ paint }) => [
    { d: 'M48 1L53 18H43Z', fill: paint },
    both({ d: 'M31 5L42 18L33 21Z', fill: paint }),
    both({ d: 'M14 16L31 22L24 30Z', fill: paint }),
  ],
  'a feather': ({ paint }) => [
    { d: 'M46 22C40 12 48 3 60 1C62 10 58 19 50 22Z', fill: paint },
    line('M48 22C50 15 54 9 58 4', outline, 1.5),
  ],
  leaves: ({ paint }) => [both({ d: 'M46 20C34 20 26 14 25 5C37 4 45 10 47 18Z', fill: paint })],
  'a halo': ({ paint }) => [line('M14 44C12 18 30 4 48 4C66 4 84 18 82 44', paint, 4)],
  'a comb': ({ paint }) => [
    { d: 'M30 22C30 10 38 12 40 6C44 10 46 4 48 2C50 4 52 10 56 6C58 12 66 10 66 22Z', fill: paint },
  ],
  antlers: ({ paint }) => [both(line('M40 20C36 12 30 14 26 2M33 13C27 14 21 12 17 6', paint, 3.5))],
  'a hood': ({ paint }) => [
    { d: 'M48 2C82 2 90 40 84 84L74 72C80 40 70 18 48 18C26 18 16 40 22 72L12 84C6 40 14 2 48 2Z', fill: paint },
  ],
  'a tall cap': ({ paint }) => [{ d: 'M28 24C30 14 38 3 48 1C58 3 66 14 68 24C56 19 40 19 28 24Z', fill: paint }],
};

const markings: Record<string, Part> = {
  'no paint': () => [],
  'a stripe down the middle': ({ paint }) => [{ d: 'M45 19H51L52 86C50 88 46 88 44 86Z', fill: paint }],
  'painted cheeks': ({ paint }) => [both({ d: 'M31 60m-7 0a7 7 0 1 0 14 0a7 7 0 1 0 -14 0Z', fill: paint })],
  'a disc on the forehead': ({ paint }) => [{ d: 'M48 29m-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z', fill: paint }],
  'tear lines': ({ paint }) => [both(line('M35 54C34 62 34 70 36 77', paint, 4))],
  'one half painted': ({ paint }) => [{ d: 'M48 18C66 18 74 34 73 52C72 70 61 86 48 86Z', fill: paint }],
  'a band across the eyes': ({ paint }) => [{ d: 'M22 40C38 35 58 35 74 40L73 56C58 52 38 52 23 56Z', fill: paint }],
  'chevrons on the cheeks': ({ paint }) => [both(line('M25 60L33 66L41 60M27 68L33 73L39 68', paint, 3))],
  whiskers: ({ paint }) => [both(line('M38 68L20 63M38 71L19 72M38 74L21 80', paint, 2.5))],
  'a dark chin': ({ paint }) => [{ d: 'M30 72C40 68 56 68 66 72C62 82 56 87 48 87C40 87 34 82 30 72Z', fill: paint }],
  'points along the brow': ({ paint }) => [
    { d: 'M48 26m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0Z', fill: paint },
    both({ d: 'M39 27m-2.3 0a2.3 2.3 0 1 0 4.6 0a2.3 2.3 0 1 0 -4.6 0Z', fill: paint }),
    both({ d: 'M31 31m-2.1 0a2.1 2.1 0 1 0 4.2 0a2.1 2.1 0 1 0 -4.2 0Z', fill: paint }),
  ],
  'a painted brow': ({ paint }) => [
    { d: 'M27 25C38 17 58 17 69 25C70 31 70 34 69 38C58 33 38 33 27 38C26 34 26 31 27 25Z', fill: paint },
  ],
};

/** Holes and lines are of ink with an edge of chalk, so that they show on every paint. */
const eyes: Record<string, Part> = {
  'almond eyes': () => [
    both({ d: 'M27 47C31 41 38 41 42 47C38 52 31 52 27 47Z', fill: outline, stroke: '#f7f1e2', width: 1.5 }),
  ],
  'round eyes': () => [
    both({ d: 'M35 47m-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0 -13 0Z', fill: '#f7f1e2', stroke: outline, width: 2 }),
    both({ d: 'M35 47m-2.8 0a2.8 2.8 0 1 0 5.6 0a2.8 2.8 0 1 0 -5.6 0Z', fill: outline }),
  ],
  'closed eyes': () => [
    both({ d: 'M28 46C31 52 39 52 42 46', stroke: '#f7f1e2', width: 5.5 }),
    both(line('M28 46C31 52 39 52 42 46', outline, 3)),
  ],
  'smiling eyes': () => [
    both({ d: 'M28 50C31 43 39 43 42 50', stroke: '#f7f1e2', width: 5.5 }),
    both(line('M28 50C31 43 39 43 42 50', outline, 3)),
  ],
  'narrow eyes': () => [both({ d: 'M27 45L43 48L42 51L28 49Z', fill: outline, stroke: '#f7f1e2', width: 1.2 })],
  'star eyes': () => [
    both({ d: 'M35 39L37 45L43 47L37 49L35 55L33 49L27 47L33 45Z', fill: outline, stroke: '#f7f1e2', width: 1.5 }),
  ],
  'half-moon eyes': () => [
    both({ d: 'M28 44H43C43 51 39 54 35.5 54C32 54 28 51 28 44Z', fill: outline, stroke: '#f7f1e2', width: 1.5 }),
  ],
  'ringed eyes': () => [
    both({ d: 'M35 47m-8 0a8 8 0 1 0 16 0a8 8 0 1 0 -16 0Z', fill: '#f7f1e2', stroke: outline, width: 2.5 }),
    both({ d: 'M35 47m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z', stroke: outline, width: 2 }),
    both({ d: 'M35 47m-1.6 0a1.6 1.6 0 1 0 3.2 0a1.6 1.6 0 1 0 -3.2 0Z', fill: outline }),
  ],
};

const brows: Record<string, Part> = {
  'no brows': () => [],
  'level brows': () => [both(line('M27 37H42', outline, 3))],
  'raised brows': () => [both(line('M27 38C31 32 38 32 42 37', outline, 3))],
  'stern brows': () => [both(line('M27 34L43 40', outline, 3.5))],
  'sorrowful brows': () => [both(line('M27 40L42 34', outline, 3))],
  'heavy brows': () => [both({ d: 'M25 38C30 31 38 32 44 37L43 41C37 37 31 37 26 42Z', fill: outline })],
};

const noses: Record<string, Part> = {
  'a straight nose': () => [line('M48 46V62H44', outline, 2.5)],
  'a broad nose': () => [line('M46 50C43 58 41 62 44 64C47 66 49 66 52 64C55 62 53 58 50 50', outline, 2.5)],
  'a small nose': () => [{ d: 'M44 61H52L48 65Z', fill: outline }],
  'a long nose': ({ paint }) => [{ d: 'M48 42L54 67C51 71 45 71 42 67Z', fill: paint, stroke: outline, width: 2 }],
  'a beak': ({ paint }) => [{ d: 'M42 52C46 48 50 48 54 52L48 72Z', fill: paint, stroke: outline, width: 2 }],
};

const mouths: Record<string, Part> = {
  'a small smile': () => [line('M40 76C44 81 52 81 56 76', outline, 3)],
  'a straight mouth': () => [line('M39 77H57', outline, 3)],
  'a wide grin': () => [
    { d: 'M34 73C42 76 54 76 62 73C60 83 54 86 48 86C42 86 36 83 34 73Z', fill: '#f7f1e2', stroke: outline, width: 2 },
    line('M41 75V84M48 76V86M55 75V84', outline, 1.5),
  ],
  'an open mouth': () => [
    { d: 'M48 78m-5.5 0a5.5 6 0 1 0 11 0a5.5 6 0 1 0 -11 0Z', fill: outline, stroke: '#f7f1e2', width: 1.2 },
  ],
  'a frown': () => [line('M40 80C44 74 52 74 56 80', outline, 3)],
  'painted lips': ({ paint }) => [
    { d: 'M39 76C43 72 46 72 48 74C50 72 53 72 57 76C53 82 43 82 39 76Z', fill: paint, stroke: outline, width: 2 },
  ],
  'a crooked mouth': () => [line('M39 79C45 80 51 78 57 73', outline, 3)],
};

/** The mask that belongs to a seed: the same on every host and in every browser. */
export function maskOf(seed: number): Mask {
  const random = createRandom(seed ^ 0x6d61736b);
  const [glaze, glazeColour] = pick(random, glazes);
  const [paint, paintColour] = pick(random, paints);
  const colours = { glaze: glazeColour, paint: paintColour };
  const [face, outlineOfFace] = pick(random, faces);
  const [crown, drawCrown] = pick(random, crowns);
  const [marking, drawMarking] = pick(random, markings);
  const [look, drawEyes] = pick(random, eyes);
  const [brow, drawBrow] = pick(random, brows);
  const [nose, drawNose] = pick(random, noses);
  const [mouth, drawMouth] = pick(random, mouths);
  const features: MaskFeatures = { glaze, paint, face, crown, eyes: look, brow, nose, mouth, marking };
  return {
    features,
    description: describe(features),
    shapes: [
      ...drawCrown(colours),
      { d: outlineOfFace, fill: glazeColour, stroke: outline, width: 2 },
      ...drawMarking(colours),
      ...drawBrow(colours),
      ...drawEyes(colours),
      ...drawNose(colours),
      ...drawMouth(colours),
    ],
  };
}

function pick<Value>(random: Random, of: Record<string, Value>): [name: string, value: Value] {
  return random.pick(Object.entries(of));
}

function describe({ glaze, paint, face, crown, eyes: look, brow, nose, mouth, marking }: MaskFeatures): string {
  const shape = `${/^[aeiou]/.test(face) ? 'An' : 'A'} ${face} mask of ${glaze} clay`;
  const top = crown === 'a bare brow' ? '' : ` with ${crown}`;
  const painted = marking === 'no paint' ? `${paint} trimmings` : `${marking} in ${paint}`;
  const brows = brow === 'no brows' ? '' : ` under ${brow}`;
  return `${shape}${top}: ${look}${brows}, ${nose}, ${mouth}, ${painted}.`;
}

/**
 * The mask as a picture of its own, for pages without scripts. Nothing in it comes from anybody's text.
 * @public
 */
export function maskSvg(seed: number): string {
  const { shapes, description } = maskOf(seed);
  const paths = shapes.flatMap(({ d, fill = 'none', stroke, width, mirrored }) => {
    const line =
      stroke === undefined
        ? ''
        : ` stroke="${stroke}" stroke-width="${width ?? 2}" stroke-linecap="round" stroke-linejoin="round"`;
    const path = `<path d="${d}" fill="${fill}"${line}/>`;
    return mirrored ? [path, `<g transform="matrix(-1 0 0 1 ${maskSize} 0)">${path}</g>`] : [path];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${maskSize} ${maskSize}" role="img"><title>${description}</title>${paths.join('')}</svg>`;
}
