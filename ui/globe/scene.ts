import {
  BufferAttribute,
  BufferGeometry,
  CircleGeometry,
  Color,
  ColorManagement,
  Group,
  LineSegments,
  LinearSRGBColorSpace,
  type Material,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  Points,
  Quaternion,
  RingGeometry,
  Scene,
  ShaderMaterial,
  SphereGeometry,
  Vector3,
  WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { mergeGeometries } from 'three/addons/utils/BufferGeometryUtils.js';
import { arcTokens, type Colours, pointTokens } from './colours.ts';
import { type Globe, type Place, type Point, happenedUntil, placeAt } from './points.ts';

/** Beyond it more pixels cost much and show little. */
const mostPixelRatio = 2;
/** Across; an agent's is a diamond. */
const size = { agent: 0.056, memory: 0.024, marked: 0.045 };
/** How far from the middle of the globe its parts lie, so that what is drawn later lies above; points are at 1. */
const radius = { core: 0.99, region: 0.991, grid: 0.993 };
/** In this order, and none but the core hides another: what is on this side lies side by side. */
const order = { core: 0, regions: 1, lines: 2, ring: 3, points: 4 };
/** How much of a colour is seen over the globe: mixed beforehand, so that no pixel is read to be drawn. */
const share = { region: 0.13, grid: 0.8, arc: 0.85 };
const distance = { least: 1.5, first: 3.3, most: 5 };
const flightMs = 600;
/** How high the middle of an arc stands for each radian that it spans. */
const arcHeight = 0.12;
/** Straight pieces of a circle, of the edge of a region, and of an arc half of the way around. */
const fine = { circle: 64, rim: 40, arc: 28 };
const rough = { circle: 32, rim: 20, arc: 9 };
type Detail = typeof fine;
/**
 * A device without a card draws roughly while something moves, with straighter lines and no more pixels than the page has, and so does
 * one on which that many frames in a row take longer than this. What stands for a moment is drawn finely everywhere.
 */
const slow = { ms: 45, frames: 4 };
const momentMs = 150;
/** How far beside a point one may point at it, in pixels of the page. */
const reachPixels = 14;

export interface SceneOptions {
  reducedMotion: boolean;
  onHover: (index: number | undefined) => void;
  onPick: (index: number | undefined) => void;
  /** The graphics card has been taken away, or is there again. */
  onLost: (isLost: boolean) => void;
  /** Whoever drags does not want it to turn by itself. */
  onGrab: () => void;
}

export type GlobeScene = ReturnType<typeof openScene>;

// Nothing is lit: colours are drawn as they are given, and no pixel is worked out into another space and back.
ColorManagement.enabled = false;

/**
 * What the globe is drawn with: without a graphics card edges are not smoothed, which is four times the work.
 * @throws where the browser gives no WebGL 2
 */
export function openRenderer(canvas: HTMLCanvasElement, isByCard = hasCard()): WebGLRenderer {
  const renderer = new WebGLRenderer({ canvas, antialias: isByCard, alpha: true, powerPreference: 'low-power' });
  renderer.outputColorSpace = LinearSRGBColorSpace;
  return renderer;
}

/** Not every browser that draws by its processor alone owns up to it when asked for a card; the name of what draws does. */
function hasCard(): boolean {
  const probe = document.createElement('canvas').getContext('webgl2', { failIfMajorPerformanceCaveat: true });
  if (probe === null) return false;
  const named = probe.getExtension('WEBGL_debug_renderer_info')?.UNMASKED_RENDERER_WEBGL ?? probe.RENDERER;
  const isProgram = /swiftshader|llvmpipe|softpipe|software|basic render/i.test(String(probe.getParameter(named)));
  probe.getExtension('WEBGL_lose_context')?.loseContext();
  return !isProgram;
}

/**
 * Draws a globe on a canvas: one mesh for each sort of thing, whatever their number, with nothing worked out anew for a frame but the
 * view itself, and frames only while something moves.
 * @throws where the browser gives no WebGL 2
 */
export function openScene(canvas: HTMLCanvasElement, options: SceneOptions) {
  const isByCard = hasCard();
  const renderer = openRenderer(canvas, isByCard);
  const scene = new Scene();
  const camera = new PerspectiveCamera(40, 1, 0.1, 20);
  camera.position.set(0, 0.6, distance.first).setLength(distance.first);
  const controls = new OrbitControls(camera, canvas);
  Object.assign(controls, {
    enablePan: false,
    minDistance: distance.least,
    maxDistance: distance.most,
    autoRotateSpeed: 0.35,
    rotateSpeed: 0.6,
    // Past a pole north would be below.
    minPolarAngle: 0.05,
    maxPolarAngle: Math.PI - 0.05,
  });

  let points: readonly Point[] = [];
  let times: readonly number[] = [];
  let arcEnds: number[] = [];
  let parts: Parts | undefined;
  /** Of the points, that many are shown: the agents, and memories up to a time. */
  let shown = 0;
  let colours: Colours = new Map();
  let marked: number | undefined;
  let flight: { from: Vector3; to: Vector3; since: number } | undefined;
  let isSeen = true;
  let isLost = false;
  let frame = 0;
  let last = 0;
  let isGrabbed = false;
  let askedAt = 0;
  let isRough = false;
  let slowFrames = 0;
  let rest: ReturnType<typeof setTimeout> | undefined;

  // What one sees of a ball of one colour is a disc, whatever the side.
  const core = new Mesh(new CircleGeometry(1, 96), new MeshBasicMaterial());
  const ring = new Mesh(
    new RingGeometry(size.marked * 0.75, size.marked, 40),
    new MeshBasicMaterial({ depthWrite: false }),
  );
  ring.visible = false;
  [core.renderOrder, ring.renderOrder] = [order.core, order.ring];
  for (const each of [core, ring]) each.frustumCulled = false;
  scene.add(core, ring);
  // A card may give no smoothed edges, and is fast all the same.
  const isSmoothed = renderer.getContext().getContextAttributes()?.antialias === true;
  const dotMaterial = dotsMaterial(isSmoothed);
  const lineMaterial = linesMaterial();

  const colourOf = (token: string) => new Color(colours.get(token) ?? 'gray');
  const overGlobe = (token: string, part: number) => colourOf('--surface').lerp(colourOf(token), part);
  const agentCount = () => points.length - times.length;

  function render(): void {
    if (isLost) return;
    // The circle along which lines of sight touch the ball: what lies behind its plane is hidden by it, and nothing else.
    const away = camera.position.length();
    const nearer = radius.core / away;
    core.quaternion.copy(camera.quaternion);
    core.position.copy(camera.position).setLength(radius.core * nearer);
    core.scale.setScalar(radius.core * Math.sqrt(1 - nearer * nearer));
    renderer.render(scene, camera);
  }

  const isMoving = () => flight !== undefined || controls.autoRotate || isGrabbed;

  function drawRoughly(is: boolean): void {
    if (is === isRough) return;
    isRough = is;
    chooseLines();
    fit();
  }

  function chooseLines(): void {
    if (parts === undefined) return;
    parts.strokes.fine.lines.visible = !isRough;
    parts.strokes.rough.lines.visible = isRough;
  }

  /** For as long as something moves, and a moment beyond. */
  function chooseDetail(tookMs: number): void {
    clearTimeout(rest);
    if (isMoving()) {
      slowFrames = tookMs > slow.ms ? slowFrames + 1 : 0;
      if (!isByCard || slowFrames >= slow.frames) drawRoughly(true);
    } else if (isRough) {
      slowFrames = 0;
      rest = setTimeout(() => {
        drawRoughly(false);
        wake();
      }, momentMs);
    }
  }

  /** As many pixels as the canvas has on the page; more where they take the place of smoothed edges. */
  function fit(): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0 || height === 0) return;
    renderer.setPixelRatio(isRough ? 1 : isSmoothed ? Math.min(devicePixelRatio, mostPixelRatio) : mostPixelRatio);
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    // The whole globe fits also where the canvas is higher than wide.
    camera.zoom = Math.min(1, camera.aspect);
    camera.updateProjectionMatrix();
    // Pixels of what is 1 across and 1 away.
    dotMaterial.uniforms['scale']!.value = (canvas.height / 2) * camera.projectionMatrix.elements[5]!;
  }

  /** Asks for a frame, where the globe is seen at all. */
  function wake(): void {
    const state = isLost ? 'lost' : !mayMove() ? 'paused' : controls.autoRotate ? 'turning' : 'still';
    if (canvas.dataset['state'] !== state) canvas.dataset['state'] = state;
    if (frame !== 0 || !mayMove()) return;
    askedAt = performance.now();
    frame = requestAnimationFrame(step);
  }
  const mayMove = () => isSeen && !isLost && document.visibilityState === 'visible';

  function step(now: number): void {
    frame = 0;
    const elapsed = Math.min(0.1, (now - last) / 1000);
    last = now;
    chooseDetail(performance.now() - askedAt);
    if (flight !== undefined) {
      // A frame's time can lie before the click that asked for it.
      const flown = Math.min(1, Math.max(0, (now - flight.since) / flightMs));
      const eased = flown * flown * (3 - 2 * flown);
      const length = camera.position.length();
      camera.position.copy(between(flight.from, flight.to, eased)).setLength(length);
      if (flown === 1) flight = undefined;
    }
    controls.update(elapsed);
    render();
    if (flight !== undefined || controls.autoRotate) wake();
  }

  const onChange = () => wake();
  controls.addEventListener('change', onChange);
  controls.addEventListener('start', () => {
    flight = undefined;
    isGrabbed = true;
    if (!isByCard) drawRoughly(true);
    wake();
    options.onGrab();
  });
  controls.addEventListener('end', () => {
    isGrabbed = false;
    wake();
  });

  const resized = new ResizeObserver(() => {
    fit();
    // A canvas that was resized is empty until it is drawn again.
    render();
    wake();
  });
  resized.observe(canvas);
  const seen = new IntersectionObserver(([entry]) => {
    isSeen = entry!.isIntersecting;
    wake();
  });
  seen.observe(canvas);
  document.addEventListener('visibilitychange', wake);

  /** The shown point nearest to where somebody points, on this side of the globe. */
  function pointAt(clientX: number, clientY: number): number | undefined {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const eye = camera.position;
    const projected = new Vector3();
    let nearest: number | undefined;
    let least = reachPixels;
    for (let i = 0; i < shown; i += 1) {
      const [x, y, z] = points[i]!.place;
      // Behind the edge of the globe as the eye sees it.
      if (x * eye.x + y * eye.y + z * eye.z < 1) continue;
      projected.set(x, y, z).project(camera);
      const across = left + ((projected.x + 1) / 2) * width - clientX;
      const down = top + ((1 - projected.y) / 2) * height - clientY;
      const apart = Math.hypot(across, down);
      if (apart < least) [nearest, least] = [i, apart];
    }
    return nearest;
  }

  let pressed: { x: number; y: number } | undefined;
  const handlers = {
    pointermove: ({ clientX, clientY, buttons }: PointerEvent) => {
      if (buttons === 0) options.onHover(pointAt(clientX, clientY));
    },
    pointerleave: () => options.onHover(undefined),
    pointerdown: ({ clientX: x, clientY: y }: PointerEvent) => {
      pressed = { x, y };
    },
    pointerup: ({ clientX: x, clientY: y }: PointerEvent) => {
      // Who has dragged has not pointed at anything.
      if (pressed !== undefined && Math.hypot(x - pressed.x, y - pressed.y) < 5) options.onPick(pointAt(x, y));
      pressed = undefined;
    },
  };
  canvas.addEventListener('pointermove', handlers.pointermove);
  canvas.addEventListener('pointerleave', handlers.pointerleave);
  canvas.addEventListener('pointerdown', handlers.pointerdown);
  canvas.addEventListener('pointerup', handlers.pointerup);

  const lost = (event: Event) => {
    // Else it would not come back.
    event.preventDefault();
    isLost = true;
    cancelAnimationFrame(frame);
    frame = 0;
    wake();
    options.onLost(true);
  };
  const restored = () => {
    isLost = false;
    options.onLost(false);
    wake();
  };
  canvas.addEventListener('webglcontextlost', lost);
  canvas.addEventListener('webglcontextrestored', restored);

  function paint(): void {
    core.material.color = colourOf('--surface');
    ring.material.color = colourOf('--ink');
    if (parts === undefined) return;
    const { dots, caps, strokes } = parts;
    const ofDots = dots.geometry.attributes['color']!;
    for (const [i, { kind }] of points.entries()) {
      const { r, g, b } = colourOf(pointTokens[kind]);
      ofDots.setXYZ(i, r, g, b);
    }
    ofDots.needsUpdate = true;
    if (caps !== undefined) caps.material.color = overGlobe('--accent', share.region);
    for (const { lines, runs } of [strokes.fine, strokes.rough]) {
      const ofLines = lines.geometry.attributes['color']!;
      for (const { from, to, token, part } of runs) {
        const { r, g, b } = overGlobe(token, part);
        for (let vertex = from; vertex < to; vertex += 1) ofLines.setXYZ(vertex, r, g, b);
      }
      ofLines.needsUpdate = true;
    }
  }

  return {
    show(globe: Globe, its: readonly Point[], now: Colours): void {
      if (parts === undefined) camera.position.copy(sideOfMost(its)).setLength(distance.first);
      else {
        scene.remove(parts.content);
        disposeOf(parts.content);
      }
      points = its;
      times = globe.memories.times;
      colours = now;
      const sorted = globe.arcs.toSorted((a, b) => a.to - b.to);
      arcEnds = sorted.map(({ to }) => to);
      const dots = new Points(dotGeometry(its, agentCount()), dotMaterial);
      const ways = sorted.map(({ kind, from, to }) => ({
        kind,
        from: its[agentCount() + from]!.place,
        to: its[agentCount() + to]!.place,
      }));
      const strokesIn = (detail: Detail) => strokesOf(globe.regions, ways, detail, lineMaterial);
      const strokes = { fine: strokesIn(fine), rough: strokesIn(rough) };
      const caps = regionCaps(globe.regions);
      dots.renderOrder = order.points;
      const content = new Group();
      content.add(dots, strokes.fine.lines, strokes.rough.lines);
      if (caps !== undefined) content.add(caps);
      // The globe is before the eye whenever it is drawn.
      for (const child of content.children) child.frustumCulled = false;
      scene.add(content);
      shown = its.length;
      parts = { content, dots, caps, strokes };
      chooseLines();
      paint();
      wake();
    },

    colour(now: Colours): void {
      colours = now;
      paint();
      wake();
    },

    /** Only memories that had happened by then, in seconds since 1970, and threads between them. */
    showUntil(until: number): void {
      if (parts === undefined) return;
      const memories = happenedUntil(times, until);
      shown = agentCount() + memories;
      parts.dots.geometry.setDrawRange(0, shown);
      const arcs = happenedUntil(arcEnds, memories - 1);
      for (const { lines, runs, before } of [parts.strokes.fine, parts.strokes.rough])
        lines.geometry.setDrawRange(0, runs[before + arcs - 1]!.to);
      if (marked !== undefined) ring.visible = marked < shown;
      wake();
    },

    /** Puts the ring about a point and, if wanted, the point before the eye. */
    mark(index: number | undefined, isFlownTo: boolean): void {
      marked = index;
      const point = index === undefined ? undefined : points[index];
      ring.visible = point !== undefined;
      if (point !== undefined) {
        ring.position.set(...point.place).multiplyScalar(1.012);
        ring.lookAt(new Vector3(...point.place).multiplyScalar(3));
        if (isFlownTo) this.flyTo(point.place);
      }
      wake();
    },

    flyTo(place: Place): void {
      const to = new Vector3(...place);
      if (options.reducedMotion) camera.position.copy(to).setLength(camera.position.length());
      else flight = { from: camera.position.clone().normalize(), to, since: performance.now() };
      wake();
    },

    /** @param by under 1: nearer */
    zoom(by: number): void {
      camera.position.setLength(Math.min(distance.most, Math.max(distance.least, camera.position.length() * by)));
      wake();
    },

    turn(isTurning: boolean): void {
      controls.autoRotate = isTurning;
      last = performance.now();
      wake();
    },

    /** For who measures. */
    drawn: () => ({ frames: renderer.info.render.frame, pixelRatio: renderer.getPixelRatio() }),

    close(): void {
      cancelAnimationFrame(frame);
      clearTimeout(rest);
      isSeen = false;
      resized.disconnect();
      seen.disconnect();
      document.removeEventListener('visibilitychange', wake);
      for (const [name, handler] of Object.entries(handlers)) {
        canvas.removeEventListener(name, handler as (event: Event) => void);
      }
      canvas.removeEventListener('webglcontextlost', lost);
      canvas.removeEventListener('webglcontextrestored', restored);
      controls.dispose();
      disposeOf(scene);
      dotMaterial.dispose();
      lineMaterial.dispose();
      renderer.dispose();
      // A browser has few of them, and takes the oldest from who holds too many.
      renderer.forceContextLoss();
    },
  };
}

/** On the great circle from one direction to another. */
function between(from: Vector3, to: Vector3, share: number): Vector3 {
  const angle = from.angleTo(to);
  if (angle < 1e-4) return to.clone();
  // Between opposite ends any way is as short.
  const isOpposite = angle > Math.PI - 1e-3;
  const beside = isOpposite ? new Vector3(...(Math.abs(from.y) < 0.9 ? [0, 1, 0] : [1, 0, 0])) : to;
  return from.clone().applyAxisAngle(new Vector3().crossVectors(from, beside).normalize(), angle * share);
}

/** From where most of them are seen, with north above. */
function sideOfMost(points: readonly Point[]): Vector3 {
  const sum = new Vector3();
  for (const { place } of points) sum.add(new Vector3(...place));
  // All around alike: from a little above the middle.
  if (sum.length() < points.length / 100) return new Vector3(0, 0.18, 1);
  const aside = Math.hypot(sum.x, sum.z) || 1;
  return sum.setY(Math.min(aside, Math.max(-aside, sum.y)));
}

/** One corner for each point, whatever is drawn of it. */
function dotGeometry(points: readonly Point[], agents: number): BufferGeometry {
  const geometry = new BufferGeometry();
  const positions = new Float32Array(points.flatMap(({ place }) => [...place]));
  const forms = new Float32Array(points.flatMap((_, i) => (i < agents ? [size.agent, 1] : [size.memory, 0])));
  geometry.setAttribute('position', new BufferAttribute(positions, 3));
  geometry.setAttribute('form', new BufferAttribute(forms, 2));
  geometry.setAttribute('color', new BufferAttribute(new Float32Array(positions.length), 3));
  return geometry;
}

/** What the globe hides is taken out before any pixel is asked for: a point, and a line of which both ends are hidden. */
const behindTheGlobe = `
  const vec4 nowhere = vec4(2.0, 2.0, 2.0, 1.0);
  bool isBehind(vec3 place, vec3 eye, float radius) {
    vec3 way = eye - place;
    float along = dot(way, eye);
    return dot(place, eye) < radius * radius && along * along > dot(way, way) * (dot(eye, eye) - radius * radius);
  }`;

/** Points as flat shapes: an agent is a diamond, a memory is round. */
function dotsMaterial(isSmoothed: boolean): ShaderMaterial {
  return new ShaderMaterial({
    uniforms: { scale: { value: 1 } },
    vertexColors: true,
    transparent: isSmoothed,
    depthWrite: false,
    vertexShader: `${behindTheGlobe}
      attribute vec2 form;
      uniform float scale;
      varying vec3 shade;
      varying float isDiamond;
      varying float reach;
      void main() {
        vec4 seen = modelViewMatrix * vec4(position, 1.0);
        gl_Position = projectionMatrix * seen;
        if (isBehind(position, cameraPosition, ${radius.core} - form.x)) gl_Position = nowhere;
        gl_PointSize = form.x * scale / -seen.z;
        reach = gl_PointSize * 0.5;
        isDiamond = form.y;
        shade = color;
      }`,
    fragmentShader: `
      varying vec3 shade;
      varying float isDiamond;
      varying float reach;
      void main() {
        vec2 beside = abs(gl_PointCoord * 2.0 - 1.0);
        float left = (1.0 - (isDiamond > 0.5 ? beside.x + beside.y : length(beside))) * reach;
        if (left <= 0.0) discard;
        #ifdef OPAQUE
          gl_FragColor = vec4(shade, 1.0);
        #else
          gl_FragColor = vec4(shade, min(left, 1.0));
        #endif
      }`,
  });
}

/** Each end knows the other one, so that both go where both are hidden. */
function linesMaterial(): ShaderMaterial {
  return new ShaderMaterial({
    vertexColors: true,
    depthWrite: false,
    vertexShader: `${behindTheGlobe}
      attribute vec3 other;
      varying vec3 shade;
      void main() {
        bool isHidden = isBehind(position, cameraPosition, ${radius.core}) && isBehind(other, cameraPosition, ${radius.core});
        gl_Position = isHidden ? nowhere : projectionMatrix * (modelViewMatrix * vec4(position, 1.0));
        shade = color;
      }`,
    fragmentShader: `
      varying vec3 shade;
      void main() {
        gl_FragColor = vec4(shade, 1.0);
      }`,
  });
}

interface Parts {
  content: Group;
  dots: Points;
  caps: Mesh<BufferGeometry, MeshBasicMaterial> | undefined;
  strokes: { fine: Strokes; rough: Strokes };
}

interface Strokes {
  lines: LineSegments;
  /** Corners of one colour: a token, and how much of it is seen over the globe. */
  runs: Array<{ from: number; to: number; token: string; part: number }>;
  /** So many of them are no arcs; each arc is one, in their order. */
  before: number;
}

/** The grid, the edges of regions and the arcs, all by one draw. */
function strokesOf(
  regions: Globe['regions'],
  arcs: ReadonlyArray<{ kind: keyof typeof arcTokens; from: Place; to: Place }>,
  detail: Detail,
  material: ShaderMaterial,
): Strokes {
  const positions: number[] = [];
  const runs: Strokes['runs'] = [];
  const add = (token: string, part: number, ways: ReadonlyArray<readonly Vector3[]>) => {
    const from = positions.length / 3;
    for (const way of ways) {
      for (let i = 1; i < way.length; i += 1) positions.push(...way[i - 1]!.toArray(), ...way[i]!.toArray());
    }
    runs.push({ from, to: positions.length / 3, token, part });
  };
  add('--line', share.grid, gridCircles(detail));
  add(
    '--accent',
    1,
    regions.map((region) => rimOf(region, detail)),
  );
  const before = runs.length;
  for (const { kind, from, to } of arcs)
    add(arcTokens[kind], share.arc, [arcOf(new Vector3(...from), new Vector3(...to), detail)]);

  const others = new Float32Array(positions.length);
  for (let i = 0; i < positions.length; i += 1) others[i] = positions[i % 6 < 3 ? i + 3 : i - 3]!;
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(positions), 3));
  geometry.setAttribute('other', new BufferAttribute(others, 3));
  geometry.setAttribute('color', new BufferAttribute(new Float32Array(positions.length), 3));
  const lines = new LineSegments(geometry, material);
  lines.renderOrder = order.lines;
  return { lines, runs, before };
}

function arcOf(from: Vector3, to: Vector3, detail: Detail): Vector3[] {
  const angle = from.angleTo(to);
  const pieces = Math.max(2, Math.ceil((detail.arc * angle) / Math.PI));
  return wayOf(pieces, (at) => between(from, to, at).multiplyScalar(1.002 + arcHeight * angle * 4 * at * (1 - at)));
}

const wayOf = (pieces: number, at: (share: number) => Vector3) =>
  Array.from({ length: pieces + 1 }, (_, i) => at(i / pieces));

const up = new Vector3(0, 1, 0);
const turnTo = (middle: Globe['regions'][number]['middle']) =>
  new Quaternion().setFromUnitVectors(up, new Vector3(...placeAt(middle, 0)));

function rimOf({ middle, reach }: Globe['regions'][number], detail: Detail): Vector3[] {
  const turn = turnTo(middle);
  const height = Math.PI / 2 - reach / 1000;
  return wayOf(detail.rim, (at) => onSphere(height, at * Math.PI * 2).applyQuaternion(turn));
}

/** Caps, by one mesh for all of them. */
function regionCaps(regions: Globe['regions']): Mesh<BufferGeometry, MeshBasicMaterial> | undefined {
  if (regions.length === 0) return undefined;
  const parts = regions.map(({ middle, reach }) =>
    new SphereGeometry(radius.region, fine.rim, 3, 0, Math.PI * 2, 0, reach / 1000).applyQuaternion(turnTo(middle)),
  );
  const caps = new Mesh(mergeGeometries(parts), new MeshBasicMaterial({ depthWrite: false }));
  for (const part of parts) part.dispose();
  caps.renderOrder = order.regions;
  return caps;
}

/** Circles of latitude and longitude, so that one sees it turn. */
function gridCircles({ circle }: Detail): Vector3[][] {
  const around = Math.PI * 2;
  const steps = [0, 1, 2, 3, 4, 5];
  return [
    ...steps.slice(1).map((step) => wayOf(circle, (at) => onSphere(((step - 3) * Math.PI) / 6, at * around))),
    ...steps.map((step) => wayOf(circle, (at) => onSphere(at * around, (step * Math.PI) / 6))),
  ];
}

const onSphere = (latitude: number, longitude: number) =>
  new Vector3(
    Math.cos(latitude) * Math.cos(longitude),
    Math.sin(latitude),
    Math.cos(latitude) * Math.sin(longitude),
  ).multiplyScalar(radius.grid);

function disposeOf(root: Scene | Group): void {
  root.traverse((child) => {
    const { geometry, material } = child as Partial<{ geometry: BufferGeometry; material: Material }>;
    geometry?.dispose();
    // Points and lines are drawn anew with the same ones.
    if (!(material instanceof ShaderMaterial)) material?.dispose();
  });
}
