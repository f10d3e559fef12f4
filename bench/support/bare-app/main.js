import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query';
import { createRootRoute, createRoute, createRouter, Link, Outlet, RouterProvider } from '@tanstack/react-router';
import { createElement as h, StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

/** The least app of the same React, router and query: one view that reads one thing. */
const rootRoute = createRootRoute({ component: () => h('main', null, h(Link, { to: '/' }, 'Bare'), h(Outlet)) });
const view = createRoute({ getParentRoute: () => rootRoute, path: '/', component: View });
const router = createRouter({ routeTree: rootRoute.addChildren([view]) });

function View() {
  const { data } = useQuery({
    queryKey: ['live'],
    queryFn: async () => (await fetch('/v1/health/live')).json(),
  });
  return data === undefined ? null : h('h1', null, JSON.stringify(data));
}

createRoot(document.querySelector('#app')).render(
  h(StrictMode, null, h(QueryClientProvider, { client: new QueryClient() }, h(RouterProvider, { router }))),
);
