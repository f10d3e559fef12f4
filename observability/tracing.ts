import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  propagation,
  trace,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { Resource } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  ParentBasedSampler,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import { redactText } from './redaction.ts';

export interface TraceSettings {
  /** Base of an OTLP/HTTP collector, such as http://127.0.0.1:4318. */
  endpoint: string;
  /** Share of traces that are kept, from 0 to 1; decided where a trace begins. */
  share: number;
  /** Who speaks: soulfra-api, soulfra-worker. */
  service: string;
  machineId?: string;
}

export interface Tracing {
  resource: Resource;
  spanProcessor: SpanProcessor;
  /** Sends the last spans, within a moment. */
  close(): Promise<void>;
}

const sendEveryMs = 1_000;
/** Spans that wait at the most; beyond it they are dropped, and nothing waits for a collector. */
const mostWaiting = 4_096;
const closeWithinMs = 2_000;

/** Errors stand in spans as they were thrown, also in those that Temporal's interceptors make; nothing of a secret leaves with them. */
function withoutSecrets(to: SpanExporter): SpanExporter {
  return {
    export(spans, done) {
      for (const span of spans) redactSpan(span);
      to.export(spans, done);
    },
    shutdown: () => to.shutdown(),
  };
}

function redactSpan({ status, events, attributes }: ReadableSpan): void {
  if (status.message !== undefined) status.message = redactText(status.message);
  for (const texts of [attributes, ...events.map((event) => event.attributes ?? {})])
    for (const [key, value] of Object.entries(texts)) if (typeof value === 'string') texts[key] = redactText(value);
}

/** Once a process. Until it is called every span below is one that does nothing. */
export function startTracing({ endpoint, share, service, machineId }: TraceSettings): Tracing {
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces`, timeoutMillis: 5_000 });
  const spanProcessor = new BatchSpanProcessor(withoutSecrets(exporter), {
    scheduledDelayMillis: sendEveryMs,
    maxQueueSize: mostWaiting,
    maxExportBatchSize: 512,
  });
  const resource = new Resource({
    'service.name': service,
    ...(machineId === undefined ? {} : { 'service.instance.id': machineId }),
  });
  const provider = new BasicTracerProvider({
    resource,
    spanProcessors: [spanProcessor],
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
  });
  provider.register({
    contextManager: new AsyncLocalStorageContextManager().enable(),
    propagator: new W3CTraceContextPropagator(),
  });
  return {
    resource,
    spanProcessor,
    async close() {
      const late = new Promise((resolve) => setTimeout(resolve, closeWithinMs).unref());
      // A collector that is away costs the last spans.
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
    },
  };
}

const tracer = () => trace.getTracer('soulfra');

/** Work as a span below the one that is open; an error is noted without secrets. */
export function inSpan<Result>(
  name: string,
  attributes: Attributes,
  work: (span: Span) => Promise<Result>,
): Promise<Result> {
  return tracer().startActiveSpan(name, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    try {
      return await work(span);
    } catch (err) {
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: redactText(err instanceof Error ? err.message : String(err)),
      });
      throw err;
    } finally {
      span.end();
    }
  });
}

export interface ServerSpan {
  /** Runs what belongs to the request, so that spans below find their parent. */
  within(work: () => void): void;
  end(status: number): void;
}

/** A request that came in; a caller's own trace goes on in it. */
export function startServerSpan(name: string, attributes: Attributes, headers: Record<string, unknown>): ServerSpan {
  const from: Context = propagation.extract(context.active(), headers);
  const span = tracer().startSpan(name, { kind: SpanKind.SERVER, attributes }, from);
  return {
    within: (work) => context.with(trace.setSpan(from, span), work),
    end(status) {
      span.setAttribute('http.response.status_code', status);
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
}
