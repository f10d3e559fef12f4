import { useSyncExternalStore } from 'react';

/** In the order in which they are told; each is told over the view that it is about. */
export const tourSteps = ['home', 'fleet', 'globe', 'evidence'] as const;
export type TourStep = (typeof tourSteps)[number];

const stored = 'soulfra-tour';
const done = 'done';
const listeners = new Set<() => void>();

/** Where the tour stands in this browser; undefined: it was taken, or sent away. */
function current(): TourStep | undefined {
  const kept = localStorage.getItem(stored);
  return kept === done ? undefined : (tourSteps.find((step) => step === kept) ?? tourSteps[0]);
}

export function keepTour(step: TourStep | undefined): void {
  localStorage.setItem(stored, step ?? done);
  for (const heard of listeners) heard();
}

export function useTourStep(): TourStep | undefined {
  return useSyncExternalStore((heard) => {
    listeners.add(heard);
    return () => listeners.delete(heard);
  }, current);
}
