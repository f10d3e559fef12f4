import {
  BufferAttribute,
  BufferGeometry,
  Color,
  Group,
  IcosahedronGeometry,
  InstancedMesh,
  LineBasicMaterial,
  LineSegments,
  type Material,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  OctahedronGeometry,
  PerspectiveCamera,
  RingGeometry,
  Scene,
  SphereGeometry,
  Vector3,
  WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { arcTokens, type Colours, pointTokens } from './colours.ts';
import { type Globe, type Place, type Point, happenedUntil, placeAt } from './points.ts';

/** Beyond it more pixels cost much and show little. */
const mostPixelRatio = 2;
const size = { agent: 0.022, memory: 0.011, marked: 0.045 };
const distance = { least: 1.5, first: 3.3, most: 5 };
const flightMs = 600;
/** Of an arc: straight pieces, and how high its middle stands for each radian that it spans. */
const arc = { pieces: 12, height: 0.12 };
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

/**
 * Draws a globe on a canvas: three instanced or joined meshes, whatever the number of points, and frames only while something
 * moves.
 * @throws where the browser gives no WebGL 2
 */
export function openScene(canvas: HTMLCanvasElement, options: SceneOptions) {
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, powerPreference: 'low-power' });
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
  let drawn: { content: Group; agents: InstancedMesh; memories: InstancedMesh; arcs: LineSegments } | undefined;
  let colours: Colours = new Map();
  let marked: number | undefined;
  let flight: { from: Vector3; to: Vector3; since: number } | undefined;
  let isSeen = true;
  let isLost = false;
  let frame = 0;
  let last = 0;

  const core = new Mesh(new SphereGeometry(0.985, 64, 48), new MeshBasicMaterial());
  const grid = new LineSegments(gridGeometry(), new LineBasicMaterial({ transparent: true, opacity: 0.55 }));
  const ring = new Mesh(new RingGeometry(size.marked * 0.75, size.marked, 40), new MeshBasicMaterial());
  ring.visible = false;
  scene.add(core, grid, ring);

  const colourOf = (token: string) => new Color(colours.get(token) ?? 'gray');
  const agentCount = () => points.length - times.length;

  function render(): void {
    if (!isLost) renderer.render(scene, camera);
  }

  /** Asks for a frame, where the globe is seen at all. */
  function wake(): void {
    canvas.dataset['state'] = isLost ? 'lost' : !mayMove() ? 'paused' : controls.autoRotate ? 'turning' : 'still';
    if (frame === 0 && mayMove()) frame = requestAnimationFrame(step);
  }
  const mayMove = () => isSeen && !isLost && document.visibilityState === 'visible';

  function step(now: number): void {
    frame = 0;
    const elapsed = Math.min(0.1, (now - last) / 1000);
    last = now;
    if (flight !== undefined) {
      // A frame's time can lie before the click that asked for it.
      const share = Math.min(1, Math.max(0, (now - flight.since) / flightMs));
      const eased = share * share * (3 - 2 * share);
      const length = camera.position.length();
      camera.position.copy(between(flight.from, flight.to, eased)).setLength(length);
      if (share === 1) flight = undefined;
    }
    controls.update(elapsed);
    render();
    if (flight !== undefined || controls.autoRotate) wake();
  }

  const onChange = () => wake();
  controls.addEventListener('change', onChange);
  const onStart = () => {
    flight = undefined;
    options.onGrab();
  };
  controls.addEventListener('start', onStart);

  const resized = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0 || height === 0) return;
    renderer.setPixelRatio(Math.min(devicePixelRatio, mostPixelRatio));
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    // The whole globe fits also where the canvas is higher than wide.
    camera.zoom = Math.min(1, camera.aspect);
    camera.updateProjectionMatrix();
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
    const shown = agentCount() + (drawn?.memories.count ?? 0);
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
    grid.material.color = colourOf('--line');
    ring.material.color = colourOf('--ink');
    if (drawn === undefined) return;
    const { agents, memories, content } = drawn;
    for (const [i, { kind }] of points.entries()) {
      const [mesh, at] = i < agentCount() ? [agents, i] : [memories, i - agentCount()];
      mesh.setColorAt(at, colourOf(pointTokens[kind]));
    }
    for (const mesh of [agents, memories]) if (mesh.instanceColor) mesh.instanceColor.needsUpdate = true;
    content.traverse((child) => {
      const token = child.userData['token'] as string | undefined;
      if (token !== undefined) ((child as Mesh).material as MeshBasicMaterial).color = colourOf(token);
    });
    const { color } = drawn.arcs.geometry.attributes;
    const kinds = drawn.arcs.userData['kinds'] as Array<keyof typeof arcTokens>;
    for (const [i, kind] of kinds.entries()) {
      const { r, g, b } = colourOf(arcTokens[kind]);
      for (let vertex = 0; vertex < arc.pieces * 2; vertex += 1) color!.setXYZ(i * arc.pieces * 2 + vertex, r, g, b);
    }
    color!.needsUpdate = true;
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
      const placesOf = (from: number, to: number) => its.slice(from, to).map(({ place }) => place);
      const agents = instanced(new OctahedronGeometry(size.agent, 1), placesOf(0, agentCount()));
      const memories = instanced(new IcosahedronGeometry(size.memory, 0), placesOf(agentCount(), its.length));
      const arcs = arcLines(
        sorted.map(({ from, to }) => [its[agentCount() + from]!.place, its[agentCount() + to]!.place] as const),
      );
      arcs.userData['kinds'] = sorted.map(({ kind }) => kind);
      const content = new Group();
      content.add(agents, memories, arcs, ...globe.regions.flatMap(regionMeshes));
      scene.add(content);
      drawn = { content, agents, memories, arcs };
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
      const shown = happenedUntil(times, until);
      drawn.memories.count = shown;
      drawn.arcs.geometry.setDrawRange(0, happenedUntil(arcEnds, shown - 1) * arc.pieces * 2);
      if (marked !== undefined) ring.visible = marked < agentCount() + shown;
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

function instanced(geometry: BufferGeometry, places: readonly Place[]): InstancedMesh {
  const mesh = new InstancedMesh(geometry, new MeshBasicMaterial(), places.length);
  const matrix = new Matrix4();
  for (const [i, place] of places.entries()) mesh.setMatrixAt(i, matrix.makeTranslation(...place));
  // The globe is before the eye whenever it is drawn.
  mesh.frustumCulled = false;
  return mesh;
}

function arcLines(ends: ReadonlyArray<readonly [Place, Place]>): LineSegments {
  const positions = new Float32Array(ends.length * arc.pieces * 6);
  let at = 0;
  for (const [from, to] of ends) {
    const a = new Vector3(...from);
    const b = new Vector3(...to);
    const height = arc.height * a.angleTo(b);
    const vertex = (share: number) => between(a, b, share).multiplyScalar(1.002 + height * 4 * share * (1 - share));
    for (let piece = 0; piece < arc.pieces; piece += 1) {
      for (const share of [piece / arc.pieces, (piece + 1) / arc.pieces]) {
        positions.set(vertex(share).toArray(), at);
        at += 3;
      }
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(positions, 3));
  geometry.setAttribute('color', new BufferAttribute(new Float32Array(positions.length), 3));
  const lines = new LineSegments(
    geometry,
    new LineBasicMaterial({ vertexColors: true, transparent: true, opacity: 0.6, depthWrite: false }),
  );
  lines.frustumCulled = false;
  return lines;
}

/** A cap that lets what is on it through, and its edge. */
function regionMeshes({ middle, reach }: Globe['regions'][number]): Array<Mesh | LineSegments> {
  const radius = reach / 1000;
  const place = new Vector3(...placeAt(middle, 0));
  const material = new MeshBasicMaterial({ transparent: true, opacity: 0.13, depthWrite: false });
  const cap = new Mesh(new SphereGeometry(0.992, 40, 10, 0, Math.PI * 2, 0, radius), material);
  const positions: number[] = [];
  const pieces = 72;
  const rim = (i: number) => {
    const around = (i / pieces) * Math.PI * 2;
    return [Math.sin(radius) * Math.cos(around), Math.cos(radius), Math.sin(radius) * Math.sin(around)];
  };
  for (let i = 0; i < pieces; i += 1) positions.push(...rim(i), ...rim(i + 1));
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(positions), 3));
  const edge = new LineSegments(geometry, new LineBasicMaterial());
  for (const mesh of [cap, edge]) {
    mesh.quaternion.setFromUnitVectors(new Vector3(0, 1, 0), place);
    mesh.userData['token'] = '--accent';
  }
  return [cap, edge];
}

/** Circles of latitude and longitude, so that one sees it turn. */
function gridGeometry(): BufferGeometry {
  const positions: number[] = [];
  const pieces = 72;
  const at = (latitude: number, longitude: number) =>
    [Math.cos(latitude) * Math.cos(longitude), Math.sin(latitude), Math.cos(latitude) * Math.sin(longitude)].map(
      (value) => value * 0.988,
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
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(positions), 3));
  return geometry;
}

function disposeOf(root: Scene | Group): void {
  root.traverse((child) => {
    const { geometry, material } = child as Partial<{ geometry: BufferGeometry; material: Material }>;
    geometry?.dispose();
    material?.dispose();
    if (child instanceof InstancedMesh) child.dispose();
  });
}
