import { describe, expect, test } from 'vitest';
import { type Plan, plannedMachine, queueSlots, rankedModels, type ResidentModel } from '../../domain/plan.ts';
import { inferenceQueue, modelsOfQueues, talkQueue } from '../../domain/task-queues.ts';

const model = (modelId: string, slots: number, gpu = 0): ResidentModel => ({
  modelId,
  queue: `inference_8g_${modelId}`,
  gpus: [gpu],
  slots,
  counted: slots,
  vramGiB: 4,
});
const machine = (machineId: string, ...models: ResidentModel[]) => ({
  machineId,
  models,
  vramUsedGiB: 0,
  vramUsableGiB: 24,
});
const plan: Plan = {
  machines: [machine('large', model('heavy', 10), model('light', 16)), machine('small', model('light', 6))],
  homes: {},
  unplaced: [],
  hours: [],
};

describe('slots that poll a queue', () => {
  test('add up over the machines that serve it', () => {
    expect(queueSlots(plan.machines)).toEqual(
      new Map([
        ['inference_8g_heavy', 10],
        ['inference_8g_light', 22],
      ]),
    );
  });

  test('count only the machines given, so that a lost one leaves the window at once', () => {
    expect(queueSlots(plan.machines, new Set(['small']))).toEqual(new Map([['inference_8g_light', 6]]));
    expect(queueSlots(plan.machines, new Set())).toEqual(new Map());
  });
});

describe('what a machine polls', () => {
  test('names the models that it serves, each once, also one whose name ends as the queue of conversations does', () => {
    const queue = inferenceQueue('24g', 'heavy_q4');
    const talking = inferenceQueue('8g', 'small_talk');
    expect(modelsOfQueues([queue, talkQueue(queue), 'coordination', 'machine_pc2', 'channel_mail'])).toEqual([
      'heavy_q4',
    ]);
    expect(modelsOfQueues([talking, talkQueue(talking), queue])).toEqual(['heavy_q4', 'small_talk']);
    expect(modelsOfQueues([])).toEqual([]);
  });

  test('carries how many machines serve each queue: the fewer, the sooner it gets a slot', () => {
    expect(rankedModels(plan.machines, 'large').map(({ modelId, slots, rank }) => [modelId, slots, rank])).toEqual([
      ['heavy', 10, 1],
      ['light', 16, 2],
    ]);
    expect(rankedModels(plan.machines, 'gone')).toEqual([]);
  });

  test('a model on several cards of one machine is one queue with the slots of all, served by one machine', () => {
    const pair: Plan = { ...plan, machines: [machine('pair', model('light', 4, 0), model('light', 3, 1))] };
    expect(rankedModels(pair.machines, 'pair')).toMatchObject([{ modelId: 'light', slots: 7, gpus: [0, 1], rank: 1 }]);
    expect(queueSlots(pair.machines).get('inference_8g_light')).toBe(7);
  });

  test('a machine that the plan leaves out is not planned', () => {
    expect(plannedMachine(plan, 'small')?.models.length).toBe(1);
    expect(plannedMachine(plan, 'gone')).toBeUndefined();
  });
});
