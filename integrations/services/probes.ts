import { execFile } from 'node:child_process';
import { request } from 'node:http';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { mainPort } from '../../domain/fleet-map.ts';
import { serviceProbeSeconds, type ServiceSign } from '../../domain/service-watch.ts';
import type { ServiceSpec } from '../../domain/services.ts';

const timeoutMs = serviceProbeSeconds * 1000;
const up: ServiceSign = { sign: 'up' };
const down = (reason: string): ServiceSign => ({ sign: 'down', reason });
const silent = (port: number) => down(`port ${port} does not answer within ${serviceProbeSeconds} s`);

export interface ServiceLook {
  spec: Pick<ServiceSpec, 'id' | 'kind' | 'ports' | 'healthCheck'>;
  /** Addresses of the machine alone, in the order in which they are tried. */
  hosts: readonly string[];
  /** Its unit or container is ours, and told of by who runs it. */
  isRun: boolean;
}

/**
 * Looks at a service where it is: by its health check, else by its main port, and by the state of its container or unit. A `command` of
 * a health check is never run here.
 */
export async function lookAtService({ spec, hosts, isRun }: ServiceLook, run: Run = runTool): Promise<ServiceSign> {
  if (isRun) return probe(spec, hosts);
  const [answer, supervised] = await Promise.all([probe(spec, hosts), supervisedState(spec, run)]);
  // Who supervises it knows that it has ended, and why; whether it answers tells what is running.
  if (supervised.sign === 'down') return supervised;
  return answer.sign === 'unknown' ? supervised : answer;
}

async function probe({ healthCheck, ports }: ServiceLook['spec'], hosts: readonly string[]): Promise<ServiceSign> {
  const main = mainPort({ ports });
  const check = healthCheck === undefined || healthCheck.kind === 'command' ? undefined : healthCheck;
  const port = check?.port ?? (main?.protocol === 'udp' ? undefined : main?.port);
  if (port === undefined) return { sign: 'unknown', reason: 'it has no health check and no main port to look at' };
  let seen: ServiceSign = silent(port);
  for (const host of hosts) {
    seen =
      check?.kind === 'http'
        ? await probeHttp(host, port, check.path)
        : check?.kind === 'zeromq'
          ? await probeZeromq(host, port, check.request)
          : await probeTcp(host, port);
    if (seen.sign === 'up') return seen;
  }
  return seen;
}

/** Up is any answer under 400; a redirect is not followed, since it may lead to another machine. */
function probeHttp(host: string, port: number, path: string): Promise<ServiceSign> {
  return new Promise((resolve) => {
    const sent = request({ host, port, path, method: 'GET', agent: false, signal: AbortSignal.timeout(timeoutMs) });
    sent.once('response', (response) => {
      const { statusCode = 0 } = response;
      response.destroy();
      resolve(statusCode < 400 ? up : down(`GET ${path} on port ${port} answers ${statusCode}`));
    });
    sent.once('error', (err) => resolve(failed(err, port)));
    sent.end();
  });
}

function probeTcp(host: string, port: number): Promise<ServiceSign> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (sign: ServiceSign) => {
      socket.destroy();
      resolve(sign);
    };
    socket.setTimeout(timeoutMs, () => end(silent(port)));
    socket.once('connect', () => end(up));
    socket.once('error', (err) => end(failed(err, port)));
  });
}

/** A request of its own; whatever comes back, it answers. */
async function probeZeromq(host: string, port: number, text: string): Promise<ServiceSign> {
  // A native library: only where a service asks for it, and not made for every host.
  const zeromq = await import('zeromq').catch(() => undefined);
  if (zeromq === undefined) return { sign: 'unknown', reason: 'the library zeromq does not run on its machine' };
  const { Request } = zeromq;
  const socket = new Request({ linger: 0, sendTimeout: timeoutMs, receiveTimeout: timeoutMs });
  try {
    socket.connect(`tcp://${host.includes(':') ? `[${host}]` : host}:${port}`);
    await socket.send(text);
    await socket.receive();
    return up;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') return failed(err, port);
    return down(`no ZeroMQ reply from port ${port} within ${serviceProbeSeconds} s`);
  } finally {
    socket.close();
  }
}

function failed(err: unknown, port: number): ServiceSign {
  const { code, name, hostname } = err as NodeJS.ErrnoException & { hostname?: string };
  if (name === 'TimeoutError' || name === 'AbortError' || code === 'ABORT_ERR' || code === 'ETIMEDOUT')
    return silent(port);
  if (code === 'ECONNREFUSED') return down(`port ${port} refuses`);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return down(
      `the host ${hostname ?? 'of its machine'} is not known by this name; \`host\` of the machine in fleet.yaml says another`,
    );
  if (code === 'ECONNRESET') return down(`port ${port} breaks off`);
  return down(`port ${port}: ${code ?? name}`);
}

/** Runs a tool of this host; undefined where it is not installed, does not answer or is not allowed. */
export type Run = (file: string, args: readonly string[]) => Promise<{ code: number; out: string } | undefined>;

async function runTool(file: string, args: readonly string[]): Promise<{ code: number; out: string } | undefined> {
  try {
    const { stdout } = await promisify(execFile)(file, [...args], { timeout: timeoutMs, maxBuffer: 64 * 1024 });
    return { code: 0, out: stdout };
  } catch (err) {
    const { code, stdout } = err as { code?: number | string; stdout?: string };
    return typeof code === 'number' ? { code, out: stdout ?? '' } : undefined;
  }
}

const containerUp = new Set(['running']);
/** Words of `systemctl is-active` that say how a unit is; any other is no answer. */
const unitDown = new Set(['failed', 'inactive', 'deactivating']);

/** What docker or systemd says of it. A name that they do not know says nothing: it may be called otherwise there. */
async function supervisedState({ id, kind }: ServiceLook['spec'], run: Run): Promise<ServiceSign> {
  const name = id.split('@')[0]!;
  const unknown = (reason: string): ServiceSign => ({ sign: 'unknown', reason });
  if (kind === 'container') {
    const format = '{{.State.Status}}{{if .State.Health}} {{.State.Health.Status}}{{end}}';
    const told = await run('docker', ['container', 'inspect', '--format', format, name]);
    const [status = '', health] = told?.code === 0 ? told.out.trim().split(' ') : [];
    if (status === '') return unknown(`docker tells nothing of a container ${name}`);
    if (!containerUp.has(status)) return down(`its container is ${status}`);
    return health === 'unhealthy' ? down('its container is unhealthy') : up;
  }
  if (kind === 'unit') {
    const told = await run('systemctl', ['is-active', `${name}.service`]);
    const word = told?.out.trim() ?? '';
    if (word === 'active') return up;
    // systemctl calls a unit that it does not know inactive, too: code 4.
    return unitDown.has(word) && told?.code !== 4
      ? down(`its unit is ${word}`)
      : unknown(`systemd tells nothing of a unit ${name}`);
  }
  return unknown('it has no health check and no main port to look at');
}
