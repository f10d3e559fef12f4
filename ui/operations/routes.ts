import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';
import { auditSearch } from './audit-search.ts';

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
  createRoute({
    getParentRoute,
    path: '/operations/audit',
    validateSearch: auditSearch,
    component: lazyRouteComponent(() => import('./audit-view.tsx'), 'AuditView'),
  }),
] as const;
