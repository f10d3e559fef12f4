import { Tabs } from '../parts/tabs.tsx';
import { text } from '../text.ts';

export function MarketTabs() {
  const { tabs, title } = text.market;
  return (
    <Tabs
      label={title}
      tabs={[
        { to: '/market', label: tabs.offers },
        { to: '/market/licenses', label: tabs.licenses },
        { to: '/market/desk', label: tabs.desk },
      ]}
    />
  );
}
