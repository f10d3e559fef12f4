import { createRoute, lazyRouteComponent } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';
import { agentSearch } from './search.ts';

export const agentRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/agents/$id',
  validateSearch: agentSearch,
  component: lazyRouteComponent(() => import('./agent-view.tsx'), 'AgentView'),
});
