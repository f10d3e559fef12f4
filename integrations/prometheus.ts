import { z } from 'zod';
import type { Reading } from '../domain/doctor.ts';

/** Alert rules as a Prometheus judges them now (https://prometheus.io/docs/prometheus/latest/querying/api/#rules). */

const timeoutMs = 4_000;
/** Go's nil comes as null. */
const texts = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});

const alertSchema = z.object({
  labels: texts,
  annotations: texts,
  state: z.enum(['firing', 'pending', 'inactive']),
  activeAt: z.iso.datetime({ offset: true }),
});
const ruleSchema = z.object({
  name: z.string(),
  state: z.enum(['firing', 'pending', 'inactive', 'unknown']),
  /** `err`: the rule itself could not be evaluated, so that its state says nothing. */
  health: z.string().default(''),
  lastError: z.string().default(''),
  labels: texts,
  annotations: texts,
  alerts: z
    .array(alertSchema)
    .nullish()
    .transform((value) => value ?? []),
});
const answerSchema = z.object({
  data: z.object({ groups: z.array(z.object({ name: z.string(), rules: z.array(ruleSchema) })) }),
});

export type PrometheusRule = z.infer<typeof ruleSchema> & { group: string };

/** What each alert rule says; why there is no answer, where there is none. */
export async function readAlertRules(url: string): Promise<Reading<PrometheusRule[]>> {
  const address = `${url.replace(/\/+$/, '')}/api/v1/rules?type=alert`;
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' });
    if (!response.ok) return { error: `Prometheus answers ${response.status}` };
    const parsed = answerSchema.safeParse(await response.json());
    if (!parsed.success) return { error: 'what answers there is no Prometheus that we know' };
    return {
      seen: parsed.data.data.groups.flatMap(({ name, rules }) => rules.map((rule) => ({ ...rule, group: name }))),
    };
  } catch (err) {
    // undici says what was wrong in the cause.
    const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err;
    return { error: `Prometheus does not answer: ${cause instanceof Error ? cause.message : String(cause)}` };
  }
}
