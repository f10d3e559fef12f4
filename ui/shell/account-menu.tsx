import { CircleUser } from 'lucide-react';
import { Button } from '../parts/button.tsx';
import { useLater } from '../parts/later.ts';
import { text } from '../text.ts';
import { useMe } from './me.ts';

export const loadAccountMenu = () => import('./account-menu-open.tsx');

/** The button of the menu of who is signed in; the menu takes its place when it is first pressed. */
export function AccountMenu() {
  const me = useMe();
  const [menu, ask] = useLater(loadAccountMenu);
  if (menu) return <menu.OpenAccountMenu />;
  return (
    <Button
      kind="quiet"
      aria-haspopup="menu"
      aria-expanded={false}
      onClick={ask}
      onKeyDown={(event) => {
        if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
        // The arrow opens the menu, and does not move the page.
        event.preventDefault();
        ask();
      }}
    >
      <CircleUser aria-hidden />
      {me?.name ?? text.app.menu}
    </Button>
  );
}
