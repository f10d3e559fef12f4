import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { fleetSchema } from '../../domain/fleet.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { smallFleet } from '../support/small-fleet.ts';

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  attributes: Array<{ key: string; value: { stringValue?: string; intValue?: number } }>;
}
interface Collected extends OtlpSpan {
  service: string;
}

let scope: TestScope;
let lab: Lab;
let folder: string;
let model: ModelServer;
let collector: Server;
const spans: Collected[] = [];

/** An OTLP collector: takes what exporters post and keeps it. */
async function startCollector(): Promise<Server> {
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { resourceSpans } = JSON.parse(Buffer.concat(pieces).toString('utf8')) as {
        resourceSpans: Array<{
          resource: { attributes: OtlpSpan['attributes'] };
          scopeSpans: Array<{ spans: OtlpSpan[] }>;
        }>;
      };
      for (const { resource, scopeSpans } of resourceSpans) {
        const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
        for (const each of scopeSpans.flatMap((of) => of.spans)) spans.push({ ...each, service });
      }
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-traces-'));
  collector = await startCollector();
  model = await startModelServer({ slots: 4, tokensPerSecond: 2_000, models: ['llama8b_q4'] });
  const parsed = parseFleet(smallFleet);
  if (!('fleet' in parsed)) throw new Error('the small fleet does not parse');
  lab = await openLab({ ...scope }, { logs: folder });
  await lab.apply(
    fleetSchema.parse({
      ...parsed.fleet,
      machines: parsed.fleet.machines.map((machine) => ({
        ...machine,
        modelServer: { kind: 'openai', url: model.url, sequences: 4 },
      })),
      metrics: { enabled: false },
      traces: { endpoint: `http://127.0.0.1:${portOf(collector)}` },
    }),
  );
  await lab.remember(plainMemories(await everyAgentId(lab.db), 12));
  lab.startWorker('big');
  await lab.settled(['big'], 90_000);
}, 180_000);

afterAll(async () => {
  await lab.close();
  await model.close();
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
  await scope.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a reflection that the API starts is one trace: request, workflow, activity, call of the model', async () => {
  const api = await lab.startApi(await freePort());
  // The lab's fleet is of the lab's user, and so is what may be asked for in it.
  await lab.db.updateTable('tokens').set({ ownerId: 'usr_lab' }).execute();
  const answer = await fetch(`${api.url}/v1/agents/vesper-001/trigger`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${api.token}`,
      traceparent: '00-11111111111111111111111111111111-2222222222222222-01',
    },
  });
  expect(answer.status).toBeLessThan(300);
  const traceId = '1'.repeat(32);
  const named = (start: string) => spans.find((span) => span.traceId === traceId && span.name.startsWith(start));
  await until('all spans have arrived', async () =>
    ['POST /v1/agents/:id/trigger', 'RunWorkflow:reflectAgent', 'RunActivity:reflect', 'model llama8b_q4'].every(
      (name) => named(name) !== undefined,
    ),
  );
  // From the innermost outwards each lies, over its parents, within the next.
  const chain: string[] = [];
  for (
    let span = named('model llama8b_q4');
    span !== undefined;
    span = spans.find(({ spanId }) => spanId === span!.parentSpanId)
  )
    chain.push(span.name);
  const of = (start: string) => chain.findIndex((name) => name.startsWith(start));
  expect(of('model llama8b_q4')).toBe(0);
  expect(of('RunActivity:reflect')).toBeGreaterThan(0);
  expect(of('RunWorkflow:reflectAgent')).toBeGreaterThan(of('RunActivity:reflect'));
  expect(of('POST /v1/agents/:id/trigger')).toBeGreaterThan(of('RunWorkflow:reflectAgent'));
  expect(chain.at(-1)).toBe('POST /v1/agents/:id/trigger');
  expect(named('POST /v1/agents/:id/trigger')).toMatchObject({ parentSpanId: '2'.repeat(16), service: 'soulfra-api' });
  expect(named('RunWorkflow:reflectAgent')?.service).toBe('soulfra-worker');
  // What a model was told or said is nowhere in it.
  const keys = new Set(named('model llama8b_q4')!.attributes.map(({ key }) => key));
  expect(keys).toContain('gen_ai.usage.output_tokens');
  expect(JSON.stringify(spans)).not.toContain('boats at the pier');
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
