import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';

const getParentRoute = () => rootRoute;

export const marketRoutes = [
  createRoute({
    getParentRoute,
    path: '/market',
    component: lazyRouteComponent(() => import('./market-view.tsx'), 'MarketView'),
  }),
  createRoute({
    getParentRoute,
    path: '/market/licenses',
    component: lazyRouteComponent(() => import('./licenses-view.tsx'), 'LicensesView'),
  }),
  createRoute({
    getParentRoute,
    path: '/market/licenses/$licenseId',
    component: lazyRouteComponent(() => import('./license-view.tsx'), 'LicenseView'),
  }),
  createRoute({
    getParentRoute,
    path: '/market/desk',
    component: lazyRouteComponent(() => import('./desk-view.tsx'), 'DeskView'),
  }),
  createRoute({
    getParentRoute,
    path: '/market/$listingId',
    component: lazyRouteComponent(() => import('./listing-view.tsx'), 'ListingView'),
  }),
] as const;
