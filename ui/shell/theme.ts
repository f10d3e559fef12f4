import { useSyncExternalStore } from 'react';

export type Theme = 'auto' | 'light' | 'dark';

const stored = 'soulfra-theme';
const listeners = new Set<() => void>();

function current(): Theme {
  const kept = localStorage.getItem(stored);
  return kept === 'light' || kept === 'dark' ? kept : 'auto';
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
      if (next === 'auto') localStorage.removeItem(stored);
      else localStorage.setItem(stored, next);
      applyTheme(next);
      for (const heard of listeners) heard();
    },
  ];
}
