import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';
import { masksSearch } from './search.ts';

export const masksRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/masks',
  validateSearch: masksSearch,
  component: lazyRouteComponent(() => import('./masks-view.tsx'), 'MasksView'),
});
