import { PerspectiveCamera, Scene } from 'three';
import { createRandom } from '../../../domain/random.ts';
import { coloursNow } from '../../../ui/globe/colours.ts';
import { pointsOf } from '../../../ui/globe/points.ts';
import { openRenderer, openScene } from '../../../ui/globe/scene.ts';

/** What the globe draws with, and nothing in it: as many frames as this browser gives. */
function openEmpty(canvas) {
  const renderer = openRenderer(canvas);
  const scene = new Scene();
  const camera = new PerspectiveCamera(40, canvas.clientWidth / canvas.clientHeight, 0.1, 20);
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  renderer.setSize(canvas.clientWidth, canvas.clientHeight, false);
  renderer.setAnimationLoop(() => renderer.render(scene, camera));
  return {
    drawn: () => ({ frames: renderer.info.render.frame, pixelRatio: renderer.getPixelRatio() }),
    close: () => {
      renderer.setAnimationLoop(null);
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}

/** The shipped scene, turning. */
function openGlobe(canvas, globe) {
  const ignored = () => undefined;
  const scene = openScene(canvas, {
    reducedMotion: false,
    onHover: ignored,
    onPick: ignored,
    onLost: ignored,
    onGrab: ignored,
  });
  scene.show(globe, pointsOf(globe), coloursNow(document.body));
  scene.turn(true);
  return scene;
}

/** So many points all over, with a thread for every fifth memory and a few regions. */
function globeOf(count) {
  const random = createRandom(10);
  const agents = Math.floor(count * 0.3);
  const memories = count - agents;
  const places = (many) => Array.from({ length: many * 3 }, () => Math.round(random.next() * 2000 - 1000));
  const numbered = (many, name) => Array.from({ length: many }, (_, i) => `${name} ${i}`);
  return {
    placedAt: null,
    from: null,
    to: null,
    agents: {
      ids: numbered(agents, 'agent'),
      names: numbered(agents, 'Agent'),
      maskSeeds: Array.from({ length: agents }, (_, i) => i),
      places: places(agents),
    },
    memories: {
      ids: numbered(memories, 'memory'),
      agents: Array.from({ length: memories }, (_, i) => i % agents),
      kinds: Array.from({ length: memories }, () => 'observation'),
      texts: numbered(memories, 'Memory'),
      times: Array.from({ length: memories }, (_, i) => i),
      places: places(memories),
    },
    arcs: Array.from({ length: Math.floor(memories / 5) }, (_, i) => ({
      threadId: `thread ${i}`,
      kind: 'echo',
      from: i,
      to: memories - 1 - i,
    })),
    regions: Array.from({ length: 6 }, (_, i) => ({
      clusterId: `cluster ${i}`,
      terms: [],
      members: 10,
      middle: places(1),
      reach: 300,
    })),
  };
}

/**
 * Frames a second over some seconds, on a canvas of its own: those that were drawn, as the renderer counts them, and with how many pixels
 * across for each of the page. The first two seconds are not counted: shaders are built in them, and the globe finds what the device can draw.
 */
globalThis.framesOf = async (points, seconds) => {
  const canvas = document.createElement('canvas');
  document.querySelector('canvas').replaceWith(canvas);
  const drawing = points === 0 ? openEmpty(canvas) : openGlobe(canvas, globeOf(points));
  try {
    const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
    let now = await next();
    for (const warm = now + 2_000; now < warm; ) now = await next();
    const since = now;
    const before = drawing.drawn().frames;
    while (now - since < seconds * 1_000) now = await next();
    if (points > 0 && canvas.dataset.state !== 'turning') throw new Error(`the globe is ${canvas.dataset.state}`);
    const { frames, pixelRatio } = drawing.drawn();
    return { rate: ((frames - before) * 1_000) / (now - since), pixelRatio };
  } finally {
    drawing.close();
  }
};
