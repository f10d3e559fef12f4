import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';

const getParentRoute = () => rootRoute;

export const operationRoutes = [
  createRoute({
    getParentRoute,
    path: '/operations',
    component: lazyRouteComponent(() => import('./health-view.tsx'), 'HealthView'),
  }),
  createRoute({
    getParentRoute,
    path: '/operations/readiness',
    component: lazyRouteComponent(() => import('./readiness-view.tsx'), 'ReadinessView'),
  }),
  createRoute({
    getParentRoute,
    path: '/operations/schedules',
    component: lazyRouteComponent(() => import('./schedules-view.tsx'), 'SchedulesView'),
  }),
  createRoute({
    getParentRoute,
    path: '/operations/people',
    component: lazyRouteComponent(() => import('./people-view.tsx'), 'PeopleView'),
  }),
] as const;
