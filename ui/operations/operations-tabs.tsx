import { Tabs } from '../parts/tabs.tsx';
import { operationsText } from '../texts/operations.ts';

export function OperationsTabs() {
  const { tabs, title } = operationsText;
  return (
    <Tabs
      label={title}
      tabs={[
        { to: '/operations', label: tabs.health },
        { to: '/operations/readiness', label: tabs.readiness },
        { to: '/operations/schedules', label: tabs.schedules },
        { to: '/operations/people', label: tabs.people },
        { to: '/operations/audit', label: tabs.audit },
      ]}
    />
  );
}
