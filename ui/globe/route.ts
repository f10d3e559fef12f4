import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';

export const globeRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/globe',
  component: lazyRouteComponent(() => import('./globe-view.tsx'), 'GlobeView'),
});
