/** How one try to keep the second copy went: why it is not (empty: it is, or none is asked for), or that a backup is being made. */
export type CopyOutcome = { reason: string } | 'busy';

/** A backup copies itself once it is made, so until then nothing is known; of one that takes longer than this it is told. */
const mostBusyMs = 3_600_000;

/** @returns what there is to say of each try; undefined: what was said before still holds */
export function createCopyWord(): (outcome: CopyOutcome, now: number) => string | undefined {
  let told = '';
  let busySince: number | undefined;
  return (outcome, now) => {
    busySince = outcome === 'busy' ? (busySince ?? now) : undefined;
    const isLong = busySince !== undefined && now - busySince > mostBusyMs;
    if (outcome === 'busy' && !isLong) return undefined;
    const reason =
      outcome === 'busy' ? 'a backup has been made for over an hour, and the copy waits for it' : outcome.reason;
    if (reason === told) return undefined;
    told = reason;
    return reason;
  };
}
