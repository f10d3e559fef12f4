import { Link } from '@tanstack/react-router';
import type { NavigationEntry } from '../navigation.ts';

interface Props {
  entry: NavigationEntry;
  className: string;
  onChosen?: () => void;
}

/** A view in the menu. */
export function Entry({ entry, className, onChosen }: Props) {
  const Icon = entry.icon;
  return (
    <Link to={entry.to} className={className} activeOptions={{ exact: entry.to === '/' }} onClick={onChosen}>
      <Icon aria-hidden />
      {entry.label}
    </Link>
  );
}
