import { createRoute } from '@tanstack/react-router';
import { rootRoute } from '../shell/root-route.tsx';
import { HomeView } from './home-view.tsx';

export const homeRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/',
  // Most begin here: it comes with the shell.
  component: HomeView,
});
