import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { type Home, readJson, writeJson } from './home.ts';

const blockSize = 20;
/** Whoever has the block listens at this one of it as long as it lives, so that a start beside it neither takes nor tries the others. */
const claimOffset = 9;
/** First ports of the first and the last block. */
const shippedRange = { first: 17_000, last: 17_980 };

/** One block of 20 ports; the offsets never change, so a person who knows one port knows them all. */
export interface Ports {
  base: number;
  api: number;
  postgres: number;
  redis: number;
  temporal: number;
  temporalUi: number;
  temporalMetrics: number;
  apiMetrics: number;
  prometheus: number;
  /** Where machines of other boxes come in, once it is opened. */
  edge: number;
  /** First of ten for the workers' metrics. */
  workerMetrics: number;
}

/** Workers of one start that have ports of the block for their metrics, two each; the others go by fleet.yaml. */
const workersWithPorts = 5;

/** Environment of the worker that is started as the so-manieth, from 0. */
export function workerMetricsEnv(ports: Pick<Ports, 'workerMetrics'>, place: number): Record<string, string> {
  return place < workersWithPorts ? { SOULFRA_METRICS_PORT: String(ports.workerMetrics + 2 * place) } : {};
}

function portsFrom(base: number): Ports {
  return {
    base,
    api: base,
    postgres: base + 1,
    redis: base + 2,
    temporal: base + 3,
    temporalUi: base + 4,
    temporalMetrics: base + 5,
    apiMetrics: base + 6,
    prometheus: base + 7,
    edge: base + 8,
    workerMetrics: base + 10,
  };
}

/** The block of the last start if it is free, else the first free one; kept in `ports.json`, and this process’s until it ends. */
export async function takePorts(home: Home, range = shippedRange): Promise<Ports> {
  const kept = readJson<{ base?: number }>(home.path('ports.json'))?.base;
  const blocks = Array.from(
    { length: (range.last - range.first) / blockSize + 1 },
    (_, i) => range.first + i * blockSize,
  );
  for (const base of kept === undefined ? blocks : [kept, ...blocks]) {
    if (!(await claimBlock(base))) continue;
    const ports = portsFrom(base);
    writeJson(home.path('ports.json'), ports);
    return ports;
  }
  throw new Error(`no free block of ${blockSize} ports between ${range.first} and ${range.last + blockSize - 1}`);
}

/** Claimed before its ports are looked at: to try one is to listen there for a moment, in the way of the server that is about to. */
async function claimBlock(base: number): Promise<boolean> {
  const claim = await listenAt(base + claimOffset);
  if (claim === undefined) return false;
  for (let port = base; port < base + blockSize; port += 1) {
    if (port === base + claimOffset) continue;
    const free = await listenAt(port);
    if (free === undefined) {
      claim.close();
      return false;
    }
    free.close();
    await once(free, 'close');
  }
  claim.on('connection', (socket) => socket.destroy()).unref();
  return true;
}

async function listenAt(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

/** Whether something takes a connection there. */
export function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

/** One that nobody listens at now, for a server that is only looked into. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
