import { createRouter } from '@tanstack/react-router';
import { agentRoute } from './agents/route.ts';
import { fleetRoutes } from './fleet/routes.ts';
import { globeRoute } from './globe/route.ts';
import { homeRoute } from './home/route.ts';
import { masksRoute } from './masks/route.ts';
import { dropRoutes } from './drops/routes.ts';
import { guildRoutes } from './guilds/routes.ts';
import { marketRoutes } from './market/routes.ts';
import { operationRoutes } from './operations/routes.ts';
import { Loading } from './parts/states.tsx';
import { Broken, rootRoute } from './shell/root-route.tsx';

/** All views; ui/README.md says how one is added. */
const views = [
  homeRoute,
  ...fleetRoutes,
  masksRoute,
  agentRoute,
  globeRoute,
  ...dropRoutes,
  ...marketRoutes,
  ...guildRoutes,
  ...operationRoutes,
];

export function createViews() {
  return createRouter({
    routeTree: rootRoute.addChildren(views),
    defaultPreload: 'intent',
    defaultPendingComponent: Loading,
    defaultErrorComponent: Broken,
    scrollRestoration: true,
  });
}
