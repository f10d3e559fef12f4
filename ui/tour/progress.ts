import { useSyncExternalStore } from 'react';
import { keep, kept } from '../kept.ts';

/** In the order in which they are told; each is told over the view that it is about. */
export const tourSteps = ['home', 'fleet', 'globe', 'evidence'] as const;
export type TourStep = (typeof tourSteps)[number];

const stored = 'soulfra-tour';
const done = 'done';
const listeners = new Set<() => void>();

/** Where the tour stands in this browser; undefined: it was taken, or sent away. */
function current(): TourStep | undefined {
  const at = kept(stored);
  return at === done ? undefined : (tourSteps.find((step) => step === at) ?? tourSteps[0]);
}

let isAsked = false;

/** Whether a person has just asked for it: then it is where they are. */
export function takeAsked(): boolean {
  const was = isAsked;
  isAsked = false;
  return was;
}

export function askForTour(): void {
  isAsked = true;
  keepTour(tourSteps[0]);
}

export function keepTour(step: TourStep | undefined): void {
  keep(stored, step ?? done);
  for (const heard of listeners) heard();
}

export function useTourStep(): TourStep | undefined {
  return useSyncExternalStore((heard) => {
    listeners.add(heard);
    return () => listeners.delete(heard);
  }, current);
}
