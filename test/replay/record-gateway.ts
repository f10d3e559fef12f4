import { completionWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createGatewayRequestStore } from '../../stores/gateway-requests.ts';
import { newId } from '../../stores/ids.ts';
import type { CompleteChatInput } from '../../workflows/complete-chat.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner } from '../support/lab.ts';
import { type Fault, startModelServer } from '../support/model-server.ts';

/** What is written here; asked for alone, nothing else is run. */
export const gatewayHistories = ['complete-chat'] as const;

/** Requests that are answered, answered at the second try, refused by the model server, cut in the middle, never served, and canceled. */
export async function recordGateway(
  { db, client, ...lab }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const server = await startModelServer({ slots: 4, tokensPerSecond: 100, models: ['light_q4'] });
  await lab.apply(testFleet({ heavy: 2, light: 3, urls: { pc2: server.url } }));
  await lab.settled(['pc2']);
  const requests = createGatewayRequestStore(db);
  async function ask(name: string, fault: Fault | null, how: { stream?: boolean; queue?: string } = {}) {
    await server.setFault(fault);
    const workflowId = await begin(how);
    await client.workflow.getHandle(workflowId).result();
    await save(name, workflowId);
  }
  async function begin({ stream = false, queue = 'inference_8g_light_q4' }: { stream?: boolean; queue?: string }) {
    const requestId = newId('completion');
    const asked = {
      messages: [{ role: 'user' as const, content: 'How many?' }],
      parameters: {},
      maxTokens: 30,
      stream,
    };
    await requests.open({ id: requestId, ownerId: labOwner, tokenId: 'tok_recorded', modelId: 'light_q4', asked });
    const input: CompleteChatInput = {
      requestId,
      modelId: queue === 'inference_8g_light_q4' ? 'light_q4' : 'nobody_q4',
      queue,
      priority: 3,
      limits: { heartbeatTimeout: 10_000, callTimeout: 60_000, scheduleToStart: 2_000, waitFor: 2_000 },
      askedAt: Date.now(),
    };
    const workflowId = completionWorkflowId(requestId);
    await client.workflow.start('completeChat', { workflowId, taskQueue: coordinationQueue, args: [input] });
    return workflowId;
  }
  await ask('complete-chat-answered', null);
  await ask('complete-chat-again', { kind: 'status', status: 503, times: 1 });
  await ask('complete-chat-refused', { kind: 'status', status: 400, times: 1 });
  await ask('complete-chat-cut', { kind: 'cut', afterTokens: 15, times: 1 }, { stream: true });
  await ask('complete-chat-unserved', null, { queue: 'inference_8g_nobody_q4' });
  const canceled = await begin({ queue: 'inference_8g_nobody_q4' });
  await client.workflow.getHandle(canceled).cancel();
  await client.workflow
    .getHandle(canceled)
    .result()
    .catch(() => undefined);
  await save('complete-chat-canceled', canceled);
  await server.close();
  // Whatever is recorded next is not to be answered by a server that is gone.
  await lab.apply(testFleet({ heavy: 2, light: 3 }));
  await lab.settled(['pc2']);
}
