import { Tabs } from '../parts/tabs.tsx';
import { marketText } from '../texts/market.ts';

export function MarketTabs() {
  const { tabs, title } = marketText;
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
