/** Pieces of PromQL that dashboards and alerts share; `window` is Grafana's own interval unless told. */
const interval = '$__rate_interval';

export function perSecond(selector: string, by: string, window = interval): string {
  return `sum by (${by}) (rate(${selector}[${window}]))`;
}

/** A quantile of a histogram; `bucket` selects its buckets. */
export function quantile(q: number, bucket: string, by: string, window = interval): string {
  const labels = by === '' ? 'le' : `le, ${by}`;
  return `histogram_quantile(${q}, sum by (${labels}) (rate(${bucket}[${window}])))`;
}

/** A part of a whole, 0 where the part has no series yet; nothing where the whole stands still. */
export function share(part: string, whole: string): string {
  return `((${part}) or 0 * (${whole})) / ((${whole}) > 0)`;
}

/**
 * What counters counted within a window, their first event included: `increase` sees none in a series that begins at 1, as those of
 * Temporal's Core do. What was counted while Prometheus itself was away for more than five minutes counts as new.
 */
export function events(selector: string, window: string): string {
  return `((increase(${selector}[${window}]) > 0) or max_over_time((${selector} unless ${selector} offset 1m)[${window}:15s]))`;
}
