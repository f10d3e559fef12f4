import { Menu } from '@base-ui/react/menu';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { BookOpen, Check, CircleUser, Compass, KeyRound, LogOut } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { call, Problem } from '../client.ts';
import { useToasts } from '../parts/toasts.tsx';
import { signedOut } from '../session.ts';
import { text } from '../text.ts';
import { passwordText } from '../texts/password.ts';
import { askForTour } from '../tour/progress.ts';
import { useMe } from './me.ts';
import { PasswordDialog } from './password-dialog.tsx';
import { type Theme, useTheme } from './theme.ts';

const themes: readonly Theme[] = ['auto', 'light', 'dark'];

/** Who is signed in, the look, and the way out; open as it comes, since a press asked for it, unless whoever pressed has gone on. */
export function OpenAccountMenu() {
  const me = useMe();
  const [theme, setTheme] = useTheme();
  const queries = useQueryClient();
  const { failed } = useToasts();
  const signOut = () =>
    call('DELETE /v1/sessions', {})
      .then(() => signedOut(queries))
      // A session that has ended already is what was asked for.
      .catch((err: unknown) =>
        err instanceof Problem && err.status === 401 ? signedOut(queries) : failed(err as Problem),
      );
  const [isAsked, setAsked] = useState(false);
  const navigate = useNavigate();
  // The tour is where they go on, not the button of this menu.
  const isLeft = useRef(false);
  const lookAround = () => {
    isLeft.current = true;
    askForTour();
    void navigate({ to: '/' });
  };
  const [isOpen, setOpen] = useState(false);
  const trigger = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // The button that was pressed had the focus, and is gone. Where something else has it by now, it stays there.
    if (document.activeElement !== document.body && document.activeElement !== trigger.current) return undefined;
    trigger.current?.focus({ preventScroll: true });
    const opening = requestAnimationFrame(() => setOpen(true));
    return () => cancelAnimationFrame(opening);
  }, []);
  return (
    <>
      {isAsked && <PasswordDialog onClose={() => setAsked(false)} />}
      <Menu.Root open={isOpen} onOpenChange={setOpen}>
        <Menu.Trigger ref={trigger} className="button" data-kind="quiet">
          <CircleUser aria-hidden />
          {me?.name ?? text.app.menu}
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner sideOffset={6} align="start">
            <Menu.Popup
              className="menu"
              finalFocus={() => {
                const goesOn = isLeft.current;
                isLeft.current = false;
                return !goesOn;
              }}
            >
              <Menu.RadioGroup value={theme} onValueChange={setTheme}>
                <Menu.Group>
                  <Menu.GroupLabel className="menu-label">{text.app.theme.label}</Menu.GroupLabel>
                  {themes.map((each) => (
                    <Menu.RadioItem key={each} value={each} className="menu-item" closeOnClick>
                      {text.app.theme[each]}
                      <Menu.RadioItemIndicator>
                        <Check aria-hidden size={16} />
                      </Menu.RadioItemIndicator>
                    </Menu.RadioItem>
                  ))}
                </Menu.Group>
              </Menu.RadioGroup>
              <Menu.Item className="menu-item" render={<a href="/docs">{text.app.api}</a>}>
                <BookOpen aria-hidden size={16} />
                {text.app.api}
              </Menu.Item>
              <Menu.Item className="menu-item" onClick={lookAround}>
                <Compass aria-hidden size={16} />
                {text.app.lookAround}
              </Menu.Item>
              <Menu.Item className="menu-item" onClick={() => setAsked(true)}>
                <KeyRound aria-hidden size={16} />
                {passwordText.menu}
              </Menu.Item>
              <Menu.Item className="menu-item" onClick={() => void signOut()}>
                <LogOut aria-hidden size={16} />
                {text.app.signOut}
              </Menu.Item>
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
    </>
  );
}
