import {
  Activity,
  Bell,
  Drama,
  Globe,
  type LucideIcon,
  Megaphone,
  Server,
  ShoppingBag,
  UsersRound,
} from 'lucide-react';
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
  { to: '/drops', label: text.nav.drops, icon: Megaphone },
  { to: '/globe', label: text.nav.globe, icon: Globe },
  { to: '/market', label: text.nav.market, icon: ShoppingBag },
  { to: '/guilds', label: text.nav.guilds, icon: UsersRound },
  { to: '/operations', label: text.nav.operations, icon: Activity },
];
