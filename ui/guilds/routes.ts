import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';

const getParentRoute = () => rootRoute;

export const guildRoutes = [
  createRoute({
    getParentRoute,
    path: '/guilds',
    component: lazyRouteComponent(() => import('./guilds-view.tsx'), 'GuildsView'),
  }),
  createRoute({
    getParentRoute,
    path: '/guilds/$guildId',
    component: lazyRouteComponent(() => import('./guild-view.tsx'), 'GuildView'),
  }),
  createRoute({
    getParentRoute,
    path: '/ballots/$ballotId',
    component: lazyRouteComponent(() => import('./ballot-view.tsx'), 'BallotView'),
  }),
] as const;
