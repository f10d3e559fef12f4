import {
  BufferAttribute,
  BufferGeometry,
  CircleGeometry,
  Color,
  ColorManagement,
  Group,
  LineBasicMaterial,
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
const order = { core: 0, regions: 1, lines: 2, arcs: 3, ring: 4, points: 5 };
/** How much of a colour is seen over the globe: mixed beforehand, so that no pixel is read to be drawn. */
const share = { region: 0.13, grid: 0.55, arc: 0.6 };
const distance = { least: 1.5, first: 3.3, most: 5 };
const flightMs = 600;
/** Of an arc: straight pieces for half of the way around, and how high its middle stands for each radian that it spans. */
const arc = { pieces: 14, height: 0.12 };
/** Where that many frames in a row take longer than this, the device draws without a card: it then draws fewer pixels for as long as something moves. */
const slow = { ms: 45, frames: 4 };
const coarse = { step: 0.25, least: 0.5 };
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
export function openRenderer(canvas: HTMLCanvasElement): WebGLRenderer {
  const renderer = new WebGLRenderer({ canvas, antialias: hasCard(), alpha: true, powerPreference: 'low-power' });
  renderer.outputColorSpace = LinearSRGBColorSpace;
  return renderer;
}

function hasCard(): boolean {
  const probe = document.createElement('canvas').getContext('webgl2', { failIfMajorPerformanceCaveat: true });
  probe?.getExtension('WEBGL_lose_context')?.loseContext();
  return probe !== null;
}

/**
 * Draws a globe on a canvas: one mesh for each sort of thing, whatever their number, with nothing worked out anew for a frame but the
 * view itself, and frames only while something moves.
 * @throws where the browser gives no WebGL 2
 */
export function openScene(canvas: HTMLCanvasElement, options: SceneOptions) {
  const renderer = openRenderer(canvas);
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
  let drawn: { content: Group; dots: Points; arcs: LineSegments; arcStarts: number[] } | undefined;
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
  /** Share of the pixels across, and how many frames were slow of late. */
  let sharpness = 1;
  let slowFrames = 0;

  // What one sees of a ball of one colour is a disc, whatever the side.
  const core = new Mesh(new CircleGeometry(1, 96), new MeshBasicMaterial());
  const grid = new LineSegments(gridGeometry(), new LineBasicMaterial({ depthWrite: false }));
  const ring = new Mesh(
    new RingGeometry(size.marked * 0.75, size.marked, 40),
    new MeshBasicMaterial({ depthWrite: false }),
  );
  ring.visible = false;
  [core.renderOrder, grid.renderOrder, ring.renderOrder] = [order.core, order.lines, order.ring];
  for (const each of [core, grid, ring]) each.frustumCulled = false;
  scene.add(core, grid, ring);
  const isSmoothed = renderer.getContext().getContextAttributes()?.antialias === true;
  const dotMaterial = dotsMaterial(isSmoothed);

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

  function coarsen(tookMs: number): void {
    slowFrames = tookMs > slow.ms ? slowFrames + 1 : 0;
    if (slowFrames < slow.frames || sharpness <= coarse.least) return;
    slowFrames = 0;
    sharpen(sharpness - coarse.step);
  }

  function sharpen(to: number): void {
    if (to === sharpness) return;
    sharpness = to;
    fit();
  }

  /** As many pixels as the canvas has on the page. */
  function fit(): void {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0 || height === 0) return;
    renderer.setPixelRatio(Math.min(devicePixelRatio, mostPixelRatio) * sharpness);
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
    canvas.dataset['state'] = isLost ? 'lost' : !mayMove() ? 'paused' : controls.autoRotate ? 'turning' : 'still';
    if (frame !== 0 || !mayMove()) return;
    askedAt = performance.now();
    frame = requestAnimationFrame(step);
  }
  const mayMove = () => isSeen && !isLost && document.visibilityState === 'visible';

  function step(now: number): void {
    frame = 0;
    const elapsed = Math.min(0.1, (now - last) / 1000);
    last = now;
    if (isMoving()) coarsen(performance.now() - askedAt);
    if (flight !== undefined) {
      // A frame's time can lie before the click that asked for it.
      const flown = Math.min(1, Math.max(0, (now - flight.since) / flightMs));
      const eased = flown * flown * (3 - 2 * flown);
      const length = camera.position.length();
      camera.position.copy(between(flight.from, flight.to, eased)).setLength(length);
      if (flown === 1) flight = undefined;
    }
    controls.update(elapsed);
    // What stands still is drawn with every pixel.
    if (!isMoving()) {
      slowFrames = 0;
      sharpen(1);
    }
    render();
    if (flight !== undefined || controls.autoRotate) wake();
  }

  const onChange = () => wake();
  controls.addEventListener('change', onChange);
  controls.addEventListener('start', () => {
    flight = undefined;
    isGrabbed = true;
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
    grid.material.color = overGlobe('--line', share.grid);
    ring.material.color = colourOf('--ink');
    if (drawn === undefined) return;
    const { dots, arcs, arcStarts, content } = drawn;
    const ofDots = dots.geometry.attributes['color']!;
    for (const [i, { kind }] of points.entries()) {
      const { r, g, b } = colourOf(pointTokens[kind]);
      ofDots.setXYZ(i, r, g, b);
    }
    ofDots.needsUpdate = true;
    content.traverse((child) => {
      const of = child.userData['share'] as number | undefined;
      if (of !== undefined) ((child as Mesh).material as MeshBasicMaterial).color = overGlobe('--accent', of);
    });
    const ofArcs = arcs.geometry.attributes['color']!;
    const kinds = arcs.userData['kinds'] as Array<keyof typeof arcTokens>;
    for (const [i, kind] of kinds.entries()) {
      const { r, g, b } = overGlobe(arcTokens[kind], share.arc);
      for (let vertex = arcStarts[i]!; vertex < arcStarts[i + 1]!; vertex += 1) ofArcs.setXYZ(vertex, r, g, b);
    }
    ofArcs.needsUpdate = true;
  }

  return {
    show(globe: Globe, its: readonly Point[], now: Colours): void {
      if (drawn !== undefined) {
        scene.remove(drawn.content);
        disposeOf(drawn.content);
      }
      points = its;
      times = globe.memories.times;
      colours = now;
      const sorted = globe.arcs.toSorted((a, b) => a.to - b.to);
      arcEnds = sorted.map(({ to }) => to);
      const dots = new Points(dotGeometry(its, agentCount()), dotMaterial);
      const { arcs, starts: arcStarts } = arcLines(
        sorted.map(({ from, to }) => [its[agentCount() + from]!.place, its[agentCount() + to]!.place] as const),
      );
      arcs.userData['kinds'] = sorted.map(({ kind }) => kind);
      [dots.renderOrder, arcs.renderOrder] = [order.points, order.arcs];
      const content = new Group();
      content.add(dots, arcs, ...regionMeshes(globe.regions));
      // The globe is before the eye whenever it is drawn.
      for (const child of content.children) child.frustumCulled = false;
      scene.add(content);
      shown = its.length;
      drawn = { content, dots, arcs, arcStarts };
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
      if (drawn === undefined) return;
      const memories = happenedUntil(times, until);
      shown = agentCount() + memories;
      drawn.dots.geometry.setDrawRange(0, shown);
      drawn.arcs.geometry.setDrawRange(0, drawn.arcStarts[happenedUntil(arcEnds, memories - 1)]!);
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

    /** What was drawn so far, and with what share of the pixels across; for who measures. */
    drawn: () => ({ frames: renderer.info.render.frame, sharpness }),

    close(): void {
      cancelAnimationFrame(frame);
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

/** Points as flat shapes: an agent is a diamond, a memory is round. */
function dotsMaterial(isSmoothed: boolean): ShaderMaterial {
  return new ShaderMaterial({
    uniforms: { scale: { value: 1 } },
    vertexColors: true,
    transparent: isSmoothed,
    depthWrite: false,
    vertexShader: `
      attribute vec2 form;
      uniform float scale;
      varying vec3 shade;
      varying float isDiamond;
      varying float reach;
      void main() {
        vec4 seen = modelViewMatrix * vec4(position, 1.0);
        gl_Position = projectionMatrix * seen;
        // Well behind the globe: out of the picture before any pixel is asked for.
        if (dot(position, cameraPosition) < -0.5) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
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

/** @returns also the first corner of each arc, and the end of the last one */
function arcLines(ends: ReadonlyArray<readonly [Place, Place]>): { arcs: LineSegments; starts: number[] } {
  const positions: number[] = [];
  const starts = [0];
  for (const [from, to] of ends) {
    const a = new Vector3(...from);
    const b = new Vector3(...to);
    const angle = a.angleTo(b);
    const pieces = Math.max(2, Math.ceil((arc.pieces * angle) / Math.PI));
    const vertex = (at: number) => between(a, b, at).multiplyScalar(1.002 + arc.height * angle * 4 * at * (1 - at));
    for (let piece = 0; piece < pieces; piece += 1)
      positions.push(...vertex(piece / pieces).toArray(), ...vertex((piece + 1) / pieces).toArray());
    starts.push(positions.length / 3);
  }
  const geometry = geometryOf(positions);
  geometry.setAttribute('color', new BufferAttribute(new Float32Array(positions.length), 3));
  const arcs = new LineSegments(geometry, new LineBasicMaterial({ vertexColors: true, depthWrite: false }));
  return { arcs, starts };
}

function geometryOf(positions: readonly number[]): BufferGeometry {
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(positions), 3));
  return geometry;
}

/** Caps, and their edges: one mesh each for all of them. */
function regionMeshes(regions: Globe['regions']): Array<Mesh | LineSegments> {
  if (regions.length === 0) return [];
  const up = new Vector3(0, 1, 0);
  const pieces = 48;
  const rims: number[] = [];
  const parts = regions.map(({ middle, reach }) => {
    const turn = new Quaternion().setFromUnitVectors(up, new Vector3(...placeAt(middle, 0)));
    const angle = reach / 1000;
    const rim = (i: number) => {
      const around = (i / pieces) * Math.PI * 2;
      const [x, z] = [Math.sin(angle) * Math.cos(around), Math.sin(angle) * Math.sin(around)];
      return new Vector3(x, Math.cos(angle), z).applyQuaternion(turn).multiplyScalar(radius.grid).toArray();
    };
    for (let i = 0; i < pieces; i += 1) rims.push(...rim(i), ...rim(i + 1));
    return new SphereGeometry(radius.region, 36, 3, 0, Math.PI * 2, 0, angle).applyQuaternion(turn);
  });
  const caps = new Mesh(mergeGeometries(parts), new MeshBasicMaterial({ depthWrite: false }));
  for (const part of parts) part.dispose();
  const edges = new LineSegments(geometryOf(rims), new LineBasicMaterial({ depthWrite: false }));
  [caps.renderOrder, edges.renderOrder] = [order.regions, order.lines];
  [caps.userData['share'], edges.userData['share']] = [share.region, 1];
  return [caps, edges];
}

/** Circles of latitude and longitude, so that one sees it turn. */
function gridGeometry(): BufferGeometry {
  const positions: number[] = [];
  const pieces = 48;
  const at = (latitude: number, longitude: number) =>
    [Math.cos(latitude) * Math.cos(longitude), Math.sin(latitude), Math.cos(latitude) * Math.sin(longitude)].map(
      (value) => value * radius.grid,
    );
  for (let circle = -2; circle <= 2; circle += 1) {
    for (let i = 0; i < pieces; i += 1) {
      const [a, b] = [i, i + 1].map((each) => (each / pieces) * Math.PI * 2) as [number, number];
      positions.push(...at((circle * Math.PI) / 6, a), ...at((circle * Math.PI) / 6, b));
    }
  }
  for (let circle = 0; circle < 6; circle += 1) {
    for (let i = 0; i < pieces; i += 1) {
      const [a, b] = [i, i + 1].map((each) => (each / pieces) * Math.PI * 2) as [number, number];
      positions.push(...at(a, (circle * Math.PI) / 6), ...at(b, (circle * Math.PI) / 6));
    }
  }
  return geometryOf(positions);
}

function disposeOf(root: Scene | Group): void {
  root.traverse((child) => {
    const { geometry, material } = child as Partial<{ geometry: BufferGeometry; material: Material }>;
    geometry?.dispose();
    // Points are drawn anew with the same one.
    if (!(child instanceof Points)) material?.dispose();
  });
}
