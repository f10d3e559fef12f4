import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { between, randomInput } from '../../bench/support/placement-fleets.ts';
import { addressOf, fleetMapMarkdown } from '../../domain/fleet-map.ts';
import { placementInputOf } from '../../domain/placement-input.ts';
import { planPlacement } from '../../domain/placement.ts';
import { createRandom } from '../../domain/random.ts';
import {
  type PlaceableService,
  placeServices,
  type ServiceMachine,
  type ServiceStanding,
} from '../../domain/service-placement.ts';
import { testFleet } from '../support/fleets.ts';

function machine(id: string, gib: number, pollers: number, standing: ServiceStanding = 'in_service'): ServiceMachine {
  const gpus = gib === 0 ? [] : [{ class: `${gib}g` as '24g', vramGiB: gib, reserveGiB: 1 }];
  return { id, gpus, pollers, standing };
}
const mainpc = machine('mainpc', 24, 2);
const pc2 = machine('pc2', 12, 8);
const light = (id: string, more: Partial<PlaceableService> = {}): PlaceableService => ({
  id,
  needsGpu: false,
  dependsOn: [],
  ports: [],
  models: [],
  ...more,
});
const heavy = (id: string, vramGiB: number, more: Partial<PlaceableService> = {}) =>
  light(id, { needsGpu: true, vramGiB, ...more });
const where = (plan: ReturnType<typeof placeServices>) =>
  Object.fromEntries(plan.map((one) => [one.id, one.machineId]));

describe('services', () => {
  test('heavy ones stand on the 24g card, light ones where the coordination is, each with its reason', () => {
    const plan = placeServices({ services: [heavy('voice', 6), light('router')], machines: [mainpc, pc2] });
    expect(plan).toEqual([
      { id: 'router', machineId: 'pc2', gpu: null, vramGiB: 0, because: expect.stringContaining('coordinates most') },
      { id: 'voice', machineId: 'mainpc', gpu: 0, vramGiB: 6, because: 'its 24g card has room: 6 GiB of 24 on card 0' },
    ]);
    // What is full sends the next one on, and a bigger card stays free while a 24g has room.
    const three = [heavy('a', 15), heavy('b', 10), heavy('c', 15)];
    expect(where(placeServices({ services: three, machines: [mainpc, pc2] }))).toEqual({
      a: 'mainpc',
      b: 'pc2',
      c: null,
    });
    expect(where(placeServices({ services: [heavy('a', 5)], machines: [machine('big', 80, 0), mainpc] }))).toEqual({
      a: 'mainpc',
    });
  });

  test('the machine that the files name is kept; where it cannot hold the service, that is told', () => {
    const services = [light('router', { machine: 'mainpc' }), heavy('voice', 20, { machine: 'pc2' })];
    const [router, voice] = placeServices({ services, machines: [mainpc, pc2] });
    expect(router).toMatchObject({ machineId: 'mainpc', because: 'fleet.d names it' });
    expect(voice).toMatchObject({
      machineId: null,
      because: 'fleet.d names pc2, and no card of pc2 has 20 GiB free (at most 11)',
    });
  });

  test('the services of a lost machine go to one that holds them and trusts them, and back; else they say why not', () => {
    const services = [
      light('a', { machine: 'pc2', ports: [{ port: 7200 }] }),
      light('b', { machine: 'pc2', ports: [{ port: 7300 }] }),
      light('c', { machine: 'pc2', trustedBy: ['pc2'], isRun: true }),
      light('owner', { machine: 'mainpc', ports: [{ port: 7300 }] }),
    ];
    const before = placeServices({ services, machines: [mainpc, pc2] });
    const lost = { ...pc2, standing: 'away' as const };
    const after = placeServices({ services, machines: [mainpc, lost], previous: before });
    expect(after).toMatchObject([
      { id: 'a', machineId: 'mainpc', because: expect.stringMatching(/^its machine pc2 is not in service; /) },
      { id: 'b', machineId: null, because: "its machine pc2 is not in service; port 7300 of mainpc is owner's" },
      {
        id: 'c',
        machineId: null,
        because:
          'its machine pc2 is not in service; mainpc does not trust its command; there run `soulfra services trust c`',
      },
      { id: 'owner', machineId: 'mainpc' },
    ]);
    expect(placeServices({ services, machines: [mainpc, pc2], previous: after })).toEqual(before);
    const young = { ...pc2, standing: 'never_started' as const };
    expect(where(placeServices({ services, machines: [mainpc, young] }))).toMatchObject({ a: null });
  });

  test('what stands somewhere stays, and among equal places a service goes beside what it needs', () => {
    const twins = [machine('one', 24, 1), machine('two', 24, 1)];
    const services = [heavy('store', 4, { machine: 'two' }), heavy('voice', 4, { dependsOn: ['store'] })];
    const plan = placeServices({ services, machines: twins });
    expect(plan[1]).toMatchObject({ machineId: 'two', because: expect.stringContaining('beside store') });
    const moved = [heavy('store', 4, { machine: 'one' }), services[1]!];
    expect(where(placeServices({ services: moved, machines: twins, previous: plan }))).toEqual({
      store: 'one',
      voice: 'two',
    });
  });
});

test('no card ever holds more than it has, of models and services together, in whatever order they are told', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (seed) => {
      const random = createRandom(seed);
      const input = randomInput(random, {
        gpus: 2 + random.int(4),
        models: 2 + random.int(4),
        load: between(random, 0.3, 1.5),
        agents: 30,
      });
      const ids = input.machines.map(({ id }) => id);
      const services = Array.from({ length: 1 + random.int(12) }, (_, i) =>
        light(`s-${i}`, {
          needsGpu: random.int(3) > 0,
          ...(random.int(5) === 0 ? {} : { vramGiB: between(random, 0.5, 20) }),
          ...(random.int(3) === 0 ? { machine: ids[random.int(ids.length)]! } : {}),
          dependsOn: i > 0 && random.int(2) === 0 ? [`s-${random.int(i)}`] : [],
          ports: [{ port: 7000 + random.int(6) }],
        }),
      );
      const base = testFleet();
      const fleet = {
        ...base,
        machines: input.machines.map((one) => ({
          ...base.machines[0]!,
          id: one.id,
          gpus: one.gpus.map((gpu) => ({ name: 'card', ...gpu })),
          modelServer: { ...base.machines[0]!.modelServer!, sequences: one.sequences },
        })),
      };
      const planned = (told: readonly PlaceableService[]) => {
        const { machines, services: placed } = placementInputOf(fleet, {
          aliveMachineIds: new Set(ids),
          services: told,
          agents: [],
        });
        return planPlacement({ ...input, machines, ...(placed === undefined ? {} : { services: placed }) });
      };
      const plan = planned(services);
      expect(JSON.stringify(planned(random.shuffle(services)))).toBe(JSON.stringify(plan));
      expect(plan.services).toHaveLength(services.length);
      for (const one of input.machines) {
        const own = plan.services!.filter(({ machineId }) => machineId === one.id);
        const models = plan.machines.find(({ machineId }) => machineId === one.id)!.models;
        one.gpus.forEach((gpu, index) => {
          const held =
            own.filter((service) => service.gpu === index).reduce((sum, { vramGiB }) => sum + vramGiB, 0) +
            models
              .filter(({ gpus }) => gpus.length === 1 && gpus[0] === index)
              .reduce((sum, { vramGiB }) => sum + vramGiB, 0);
          expect(held).toBeLessThanOrEqual(gpu.vramGiB - gpu.reserveGiB + 1e-6);
        });
        const all = [...own, ...models].reduce((sum, { vramGiB }) => sum + vramGiB, 0);
        expect(all).toBeLessThanOrEqual(one.gpus.reduce((sum, gpu) => sum + gpu.vramGiB - gpu.reserveGiB, 0) + 1e-6);
      }
      for (const service of plan.services!) expect(service.because).not.toBe('');
    }),
    { numRuns: 40 },
  );
}, 60_000);

test('what is run stands where it is trusted, whatever is lost, and says so where no machine trusts it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (seed) => {
      const random = createRandom(seed);
      const standings = ['in_service', 'in_service', 'away', 'never_started'] as const;
      const machines = Array.from({ length: 1 + random.int(4) }, (_, i) =>
        machine(`m-${i}`, [0, 12, 24][random.int(3)]!, random.int(4), standings[random.int(standings.length)]),
      );
      const ids = machines.map(({ id }) => id);
      const services = Array.from({ length: 1 + random.int(8) }, (_, i) =>
        light(`s-${i}`, {
          needsGpu: random.int(3) === 0,
          vramGiB: between(random, 0.5, 12),
          isRun: random.int(2) === 0,
          ...(random.int(3) === 0 ? { machine: ids[random.int(ids.length)]! } : {}),
          ...(random.int(4) === 0 ? {} : { trustedBy: ids.filter(() => random.int(2) === 0) }),
        }),
      );
      const before = placeServices({ services, machines });
      const lost = machines.map((one) => (random.int(2) === 0 ? one : { ...one, standing: 'away' as const }));
      const after = placeServices({ services, machines: lost, previous: before });
      for (const [plan, at] of [
        [before, machines],
        [after, lost],
      ] as const) {
        for (const { id, machineId, because } of plan) {
          const service = services.find((one) => one.id === id)!;
          const trusts = service.trustedBy ?? ids;
          if (machineId !== null && service.isRun) expect(trusts).toContain(machineId);
          const untrusting = at.filter(
            ({ id: other, standing }) => standing === 'in_service' && !trusts.includes(other),
          );
          const living = at.filter(({ standing }) => standing === 'in_service');
          // No other fault can be in the way of a light service, so that it stands wherever one machine may run it.
          const mayStand = at.find((one) => one.id === service.machine)?.standing !== 'never_started';
          if (!service.needsGpu && service.machine === undefined && living.length > untrusting.length)
            expect(machineId).not.toBeNull();
          if (service.isRun && mayStand && living.length > 0 && untrusting.length === living.length) {
            expect(machineId).toBeNull();
            expect(because).toContain(`does not trust its command; there run \`soulfra services trust ${id}\``);
          }
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('trust decides where a service comes to stand that nobody has started, and moves none', () => {
  const trusted = light('a', { trustedBy: ['mainpc'] });
  const first = placeServices({ services: [trusted], machines: [mainpc, pc2] });
  expect(where(first)).toEqual({ a: 'mainpc' });
  const elsewhere = [{ ...trusted, trustedBy: ['pc2'] }];
  expect(where(placeServices({ services: elsewhere, machines: [mainpc, pc2], previous: first }))).toEqual({
    a: 'mainpc',
  });
  const run = [{ ...elsewhere[0]!, isRun: true }];
  expect(where(placeServices({ services: run, machines: [mainpc, pc2], previous: first }))).toEqual({ a: 'pc2' });
});

test('models that services name are placed as those of agents are, and what has no place says why', () => {
  const fleet = testFleet({ heavy: 0, light: 0 });
  const asking = (model: string) => light('memory-api', { models: [{ model, tokensPerDay: 100_000 }] });
  const planned = (services: readonly PlaceableService[], alive = ['mainpc', 'pc2']) =>
    planPlacement(placementInputOf(fleet, { aliveMachineIds: new Set(alive), services, agents: [] }));
  const held = (plan: ReturnType<typeof planned>) =>
    plan.machines.flatMap(({ machineId, models }) => models.map(({ modelId }) => `${machineId} ${modelId}`));
  expect(held(planned([light('memory-api')]))).toEqual([]);
  const plan = planned([asking('heavy_q4')]);
  expect(held(plan)).toContain('mainpc heavy_q4');
  expect(plan).toMatchObject({ homes: {}, unplaced: [] });
  expect(plan.unserved).toBeUndefined();
  // Its hours count like those of agents.
  expect(plan.hours.reduce((sum, { needed }) => sum + needed, 0)).toBeGreaterThan(0);
  const without = planned([asking('heavy_q4')], ['pc2']);
  expect(held(without)).toEqual([]);
  expect(without.unserved).toEqual([{ modelId: 'heavy_q4', reason: expect.stringContaining('heavy_q4 needs') }]);
});

test('a service has an address while it is up, by its main port', () => {
  const port = (name: string, number: number, address?: string) => ({
    name,
    port: number,
    ...(address === undefined ? {} : { address }),
  });
  expect(addressOf({ ports: [port('main', 7200), port('health', 7201)] }, 'up', 'mainpc')).toBe('mainpc:7200');
  expect(addressOf({ ports: [port('main', 7200)] }, 'down', 'mainpc')).toBeNull();
  expect(addressOf({ ports: [port('a', 1), port('b', 2)] }, 'up', 'mainpc')).toBeNull();
  expect(addressOf({ ports: [port('only', 7200, '127.0.0.1')] }, 'up', 'mainpc')).toBe('127.0.0.1:7200');
  expect(addressOf({ ports: [port('only', 7200, '0.0.0.0')] }, 'up', 'fd00::1')).toBe('[fd00::1]:7200');
});

test('the map as Markdown lets no name out of its cell', () => {
  const text = fleetMapMarkdown({
    name: 'Small',
    version: 1,
    planVersion: 2,
    machines: [],
    agents: [
      {
        id: 'a-001',
        name: 'x | [y](http://z)\n# w',
        state: 'active',
        modelId: 'm_q4',
        machineId: null,
        why: 'no card',
      },
    ],
    services: [],
  });
  expect(text).toContain('| a-001 | x \\| \\[y\\](http://z) \\# w | m_q4 | none | no card |');
});
