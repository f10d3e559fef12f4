import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import './tokens.css';
import './base.css';
import './parts/fields.css';
import { Toasts } from './parts/toasts.tsx';
import { createQueries } from './queries.ts';
import { watchSession } from './session.ts';
import { Door } from './sign-in/door.tsx';
import { takeLink } from './sign-in/link.ts';
import { applyTheme } from './shell/theme.ts';

applyTheme();
const link = takeLink();
// A link that is opened where the page is open already changes the fragment alone.
addEventListener('hashchange', () => {
  if (/^#(once|invite)=/.test(location.hash)) location.reload();
});
const queries = createQueries();
watchSession(queries);

createRoot(document.querySelector('#app')!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Door link={link} />
      <Toasts />
    </QueryClientProvider>
  </StrictMode>,
);
