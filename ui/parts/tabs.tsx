import { Link } from '@tanstack/react-router';
import './fields.css';

/** Views that stand beside each other, each with an address of its own. */
export function Tabs({ label, tabs }: { label: string; tabs: ReadonlyArray<{ to: string; label: string }> }) {
  return (
    <nav aria-label={label} className="tabs">
      {tabs.map(({ to, label: says }) => (
        <Link key={to} to={to} className="tab" activeOptions={{ exact: true }}>
          {says}
        </Link>
      ))}
    </nav>
  );
}
