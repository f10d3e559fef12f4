import { parser } from '@prometheus-io/lezer-promql';

/** As Prometheus gets it: Grafana's own variables filled in. */
export function filledIn(expr: string, interval = '1m'): string {
  return expr
    .replaceAll('$__rate_interval', interval)
    .replaceAll('$__interval', '1m')
    .replaceAll('$__range', '1h')
    .replaceAll(/=~"\$\w+"/g, '=~".*"');
}

/** The metrics that an expression asks for; throws where it is no PromQL. */
export function metricsIn(expr: string): string[] {
  const names = new Set<string>();
  parser.parse(expr).iterate({
    enter: (node) => {
      if (node.type.isError) throw new Error(`no PromQL at ${node.from}: ${expr}`);
      if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector')
        names.add(expr.slice(node.from, node.to));
    },
  });
  return [...names];
}

/** Each series that an expression looks at: a metric with its matchers, without the window. */
export function selectorsIn(expr: string): string[] {
  const selectors = new Set<string>();
  parser.parse(expr).iterate({
    enter: ({ name, from, to }) => {
      if (name === 'VectorSelector') selectors.add(expr.slice(from, to));
    },
  });
  return [...selectors];
}

/** A histogram's metric is asked for by the names of its parts. */
export function withoutPart(metric: string): string {
  return metric.replace(/_(bucket|sum|count)$/, '');
}
