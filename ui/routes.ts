import { createRouter } from '@tanstack/react-router';
import { agentRoute } from './agents/route.ts';
import { fleetRoute } from './fleet/route.ts';
import { homeRoute } from './home/route.ts';
import { masksRoute } from './masks/route.ts';
import { Loading } from './parts/states.tsx';
import { Broken, rootRoute } from './shell/root-route.tsx';

/** All views; ui/README.md says how one is added. */
const views = [homeRoute, fleetRoute, masksRoute, agentRoute];

export function createViews() {
  return createRouter({
    routeTree: rootRoute.addChildren(views),
    defaultPreload: 'intent',
    defaultPendingComponent: Loading,
    defaultErrorComponent: Broken,
    scrollRestoration: true,
  });
}
