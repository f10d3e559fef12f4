import { useEffect, useEffectEvent, useRef, useState } from 'react';
import { useTheme } from '../shell/theme.ts';
import { coloursNow } from './colours.ts';
import type { Globe, Point } from './points.ts';
import type { GlobeScene } from './scene.ts';

export type Picture = 'opening' | 'drawn' | 'lost' | 'unable' | 'failed';

interface Props {
  globe: Globe;
  points: readonly Point[];
  /** Memories until then, in seconds since 1970. */
  until: number;
  marked: { index: number; isFlownTo: boolean } | undefined;
  isTurning: boolean;
  onMark: (index: number | undefined) => void;
  onHover: (index: number | undefined) => void;
  onGrab: () => void;
  onPicture: (picture: Picture) => void;
  /** Called with the scene once it is there. */
  sceneRef: { current: GlobeScene | undefined };
}

const darkness = '(prefers-color-scheme: dark)';

/** The picture of the globe, from a chunk of its own that a browser without WebGL never asks for. */
export function GlobeCanvas({ globe, points, until, marked, isTurning, sceneRef, ...told }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [scene, setScene] = useState<GlobeScene>();
  const onMark = useEffectEvent(told.onMark);
  const onHover = useEffectEvent(told.onHover);
  const onGrab = useEffectEvent(told.onGrab);
  const onPicture = useEffectEvent(told.onPicture);

  useEffect(() => {
    if (!hasWebGl()) {
      onPicture('unable');
      return;
    }
    // One for each scene: a canvas whose context was given back has none to give again.
    const canvas = Object.assign(document.createElement('canvas'), { className: 'globe-canvas', ariaHidden: 'true' });
    frame.current!.append(canvas);
    let opened: GlobeScene | undefined;
    let isGone = false;
    import('./scene.ts').then(
      ({ openScene }) => {
        if (isGone) return;
        try {
          opened = openScene(canvas, {
            reducedMotion: lessMotion(),
            onHover: (index) => onHover(index),
            onPick: (index) => onMark(index),
            onLost: (isLost) => onPicture(isLost ? 'lost' : 'drawn'),
            onGrab: () => onGrab(),
          });
        } catch (err) {
          // Some browsers say that they have WebGL, and then have no memory for it.
          reportError(err);
          onPicture('failed');
          return;
        }
        sceneRef.current = opened;
        setScene(opened);
        onPicture('drawn');
      },
      (err: unknown) => {
        if (isGone) return;
        reportError(err);
        onPicture('failed');
      },
    );
    return () => {
      isGone = true;
      sceneRef.current = undefined;
      opened?.close();
      canvas.remove();
    };
  }, [sceneRef]);

  useEffect(() => scene?.show(globe, points, coloursNow(frame.current!)), [scene, globe, points]);
  useEffect(() => scene?.showUntil(until), [scene, until, globe]);
  useEffect(() => scene?.mark(marked?.index, marked?.isFlownTo ?? false), [scene, marked, points]);
  useEffect(() => scene?.turn(isTurning), [scene, isTurning]);

  const [theme] = useTheme();
  useEffect(() => {
    if (scene === undefined) return undefined;
    const paint = () => scene.colour(coloursNow(frame.current!));
    paint();
    const night = matchMedia(darkness);
    night.addEventListener('change', paint);
    return () => night.removeEventListener('change', paint);
  }, [scene, theme]);

  return <div ref={frame} />;
}

export const lessMotion = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

function hasWebGl(): boolean {
  const context = document.createElement('canvas').getContext('webgl2');
  context?.getExtension('WEBGL_lose_context')?.loseContext();
  return context !== null;
}
