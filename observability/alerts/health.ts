import type { HealthKind } from '../../domain/states.ts';

/**
 * Alerts whose cause is judged by the health model, too, with the kinds that show it: where nobody runs Prometheus these stand for them.
 * What is not named here is seen by Prometheus alone.
 */
const standIns: Readonly<Record<string, readonly HealthKind[]>> = {
  MachineLost: ['machine'],
  ModelServerDown: ['model_server'],
  AgentsLate: ['agent'],
  AgentsSilent: ['agent'],
  QueueBacklogOld: ['worker'],
  CoordinationBacklogOld: ['worker'],
  IntentsWait: ['worker'],
  TemporalWorkersGone: ['worker', 'machine'],
  LedgerImbalance: ['ledger'],
  LedgerNotPassedOver: ['ledger'],
  ChannelStopped: ['channel'],
  ChannelDown: ['channel'],
  DropsUnconfirmed: ['channel'],
  BackupOld: ['backup'],
  ArchiveLate: ['archive'],
  CertificateEnds: ['certificate'],
};

export function healthKindsOf(alert: string): readonly HealthKind[] {
  return standIns[alert] ?? [];
}

/** @internal for the test that holds them to the alerts that there are */
export const alertsWithHealth = Object.keys(standIns);
