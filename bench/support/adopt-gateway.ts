import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../domain/random.ts';
import { type AdoptStage, adoptMachines } from './adopt-stage.ts';
import { type GatewayLoadResult, loadGateway } from './gateway-load.ts';

export interface GatewayVerdict {
  requests: number;
  answered: number;
  /** Ended without an answer though they had not begun. */
  lost: number;
  /** Streams that had begun, and were ended by the name of it. */
  cut: number;
  /** Streams that had begun and ended in another way, and answers that are not whole. */
  untold: number;
  /** Rows of requests that nobody waits for. */
  open: number;
  kills: number;
}

/** Half of them streamed, by the official client, while both model servers are killed in turn. */
export async function askThroughKills(
  stage: AdoptStage,
  token: string,
  { requests, kills, random }: { requests: number; kills: number; random: Random },
): Promise<GatewayVerdict> {
  let done = 0;
  const result = await loadGateway({
    url: `${stage.api.url}/openai/v1`,
    token,
    model: 'light_q4',
    requests,
    atOnce: 24,
    maxTokens: 60,
    streamEvery: 2,
    strike: {
      afterAnswers: 6,
      async act() {
        for (; done < kills; done += 1) {
          const machine = adoptMachines[done % adoptMachines.length]!;
          await pause(random.int(1_500));
          await stage.modelServers.get(machine)!.end('SIGKILL');
          await stage.startModelServer(machine);
          await pause(1_500);
        }
      },
    },
  });
  const rows = await stage.lab.db.selectFrom('gatewayRequests').select('id').execute();
  return { requests, answered: result.answered, ...endsOf(result), open: rows.length, kills: done };
}

export interface ApiKillVerdict {
  requests: number;
  answered: number;
  lost: number;
  /** Streams that had begun: their readers see the connection end. */
  cut: number;
  kills: number;
  /** Rows and workflows of requests that nobody waits for any more, two minutes later. */
  orphans: number;
}

/** The API itself is killed while they wait for it: whoever asks again, as the official client does, is answered; what it had in hand ends. */
export async function askThroughApiKills(
  stage: AdoptStage,
  token: string,
  { requests, kills, random }: { requests: number; kills: number; random: Random },
): Promise<ApiKillVerdict> {
  let done = 0;
  const result = await loadGateway({
    url: `${stage.api.url}/openai/v1`,
    token,
    model: 'light_q4',
    requests,
    atOnce: 16,
    maxTokens: 60,
    streamEvery: 2,
    retries: 8,
    strike: {
      afterAnswers: 4,
      async act() {
        for (; done < kills; done += 1) {
          await pause(random.int(1_500));
          await stage.killApi();
          await pause(2_000);
        }
      },
    },
  });
  const { db, client } = stage.lab;
  const left = async () => {
    const rows = await db.selectFrom('gatewayRequests').select('id').where('state', '=', 'open').execute();
    const { count } = await client.workflow.count("WorkflowType = 'completeChat' and ExecutionStatus = 'Running'");
    return rows.length + count;
  };
  let orphans = await left();
  const deadline = performance.now() + 120_000;
  while (orphans > 0 && performance.now() < deadline) {
    await pause(500);
    orphans = await left();
  }
  // What ended in the moments before anybody could know that its reader is dead is left to retention.
  await db.deleteFrom('gatewayRequests').where('state', '<>', 'open').execute();
  const { answered, lost, cut } = result;
  return { requests, answered, lost, cut, kills: done, orphans };
}

function endsOf({ lost, cut, codes, texts }: GatewayLoadResult) {
  const named = Object.entries(codes).filter(([code]) => code.endsWith('answer_cut'));
  const told = named.reduce((sum, [, count]) => sum + count, 0);
  // The double says the same to all: what is worded otherwise is torn, or of two attempts.
  const torn = Object.values(texts)
    .toSorted((a, b) => b - a)
    .slice(1);
  return { lost, cut, untold: Math.max(0, cut - told) + torn.reduce((sum, count) => sum + count, 0) };
}

/** The same client pointed at a model server itself, as before the gateway: what a kill costs there. */
export async function askWithoutGateway(stage: AdoptStage): Promise<{ requests: number; lost: number }> {
  const requests = 40;
  const { lost } = await loadGateway({
    url: stage.modelUrlOf('mainpc'),
    token: 'none',
    model: 'light_q4',
    requests,
    atOnce: 12,
    maxTokens: 60,
    streamEvery: 2,
    strike: {
      afterAnswers: 4,
      async act() {
        await stage.modelServers.get('mainpc')!.end('SIGKILL');
        await stage.startModelServer('mainpc');
      },
    },
  });
  return { requests, lost };
}
