import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';

const getParentRoute = () => rootRoute;

export const fleetRoutes = [
  createRoute({
    getParentRoute,
    path: '/fleet',
    component: lazyRouteComponent(() => import('./fleet-view.tsx'), 'FleetView'),
  }),
  createRoute({
    getParentRoute,
    path: '/fleet/file',
    component: lazyRouteComponent(() => import('./fleet-file-view.tsx'), 'FleetFileView'),
  }),
] as const;
