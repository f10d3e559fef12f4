import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';

const getParentRoute = () => rootRoute;

export const dropRoutes = [
  createRoute({
    getParentRoute,
    path: '/drops',
    component: lazyRouteComponent(() => import('./drops-view.tsx'), 'DropsView'),
  }),
  createRoute({
    getParentRoute,
    path: '/drops/new',
    component: lazyRouteComponent(() => import('./composer-view.tsx'), 'ComposerView'),
  }),
  createRoute({
    getParentRoute,
    path: '/drops/$dropId',
    component: lazyRouteComponent(() => import('./drop-view.tsx'), 'DropView'),
  }),
] as const;
