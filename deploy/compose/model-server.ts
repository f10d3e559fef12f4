import type { FleetMachine } from '../../domain/fleet.ts';

const loopback = ['127.0.0.1', 'localhost', '[::1]'];

/**
 * Port at which the kit runs a machine's model server. Undefined where it runs none: the machine has no cards or is simulated, its
 * server is elsewhere, or of a kind that needs to be told more than `fleet.yaml` says (vLLM, llama.cpp): those are run by their owner.
 */
export function modelServerPort({ gpus, modelServer }: FleetMachine): number | undefined {
  if (gpus.length === 0 || modelServer?.kind !== 'ollama' || modelServer.url === undefined) return undefined;
  const { hostname, port } = new URL(modelServer.url);
  return loopback.includes(hostname) ? Number(port || 80) : undefined;
}
