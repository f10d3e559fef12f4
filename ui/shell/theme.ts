import { useSyncExternalStore } from 'react';
import { keep, kept } from '../kept.ts';

export type Theme = 'auto' | 'light' | 'dark';

const stored = 'soulfra-theme';
const listeners = new Set<() => void>();

function current(): Theme {
  const chosen = kept(stored);
  return chosen === 'light' || chosen === 'dark' ? chosen : 'auto';
}

/** What was chosen in this browser; by itself as the device. */
export function applyTheme(theme: Theme = current()): void {
  if (theme === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const theme = useSyncExternalStore((heard) => {
    listeners.add(heard);
    return () => listeners.delete(heard);
  }, current);
  return [
    theme,
    (next) => {
      keep(stored, next === 'auto' ? undefined : next);
      applyTheme(next);
      for (const heard of listeners) heard();
    },
  ];
}
