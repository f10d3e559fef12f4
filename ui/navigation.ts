import { type LucideIcon, Bell, Drama, Server } from 'lucide-react';
import { text } from './text.ts';

export interface NavigationEntry {
  to: string;
  label: string;
  icon: LucideIcon;
}

/** The views in the order of the menu; on a phone the first four stand at the foot, the others behind "More". */
export const navigation: readonly NavigationEntry[] = [
  { to: '/', label: text.nav.home, icon: Bell },
  { to: '/fleet', label: text.nav.fleet, icon: Server },
  { to: '/masks', label: text.nav.masks, icon: Drama },
];
