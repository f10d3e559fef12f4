import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeService } from '../../domain/health-rules.ts';
import { type ServiceSign, settleService, startGraceSeconds, type WatchedService } from '../../domain/service-watch.ts';
import { type ServiceState, serviceStates } from '../../domain/states.ts';
import { lookAtService, type Run } from '../../integrations/services/probes.ts';

const up: ServiceSign = { sign: 'up' };
const down: ServiceSign = { sign: 'down', reason: 'port 1 refuses' };
const blind: ServiceSign = { sign: 'unknown', reason: 'nothing to look at' };
const after = (state: ServiceState, signs: readonly ServiceSign[], forSeconds = 0) =>
  signs.reduce<WatchedService>((before, sign) => settleService(before, sign, forSeconds), {
    state,
    reason: '',
    looks: 0,
  });

describe('a service that is looked at', () => {
  test('is down after two looks that say so, and up after two', () => {
    expect(after('up', [down])).toMatchObject({ state: 'up', looks: 1 });
    expect(after('up', [down, up, down])).toMatchObject({ state: 'up' });
    expect(after('up', [down, down])).toEqual({ state: 'down', reason: 'port 1 refuses', looks: 0 });
    expect(after('down', [up])).toMatchObject({ state: 'down' });
    expect(after('down', [up, up])).toEqual({ state: 'up', reason: '', looks: 0 });
    expect(after('unknown', [up])).toMatchObject({ state: 'up' });
  });

  test('has its time while it starts, is not down where it was stopped, and stays as it is where nothing tells', () => {
    expect(after('starting', [down, down, down])).toMatchObject({ state: 'starting' });
    expect(after('starting', [down, down], startGraceSeconds)).toMatchObject({ state: 'down' });
    expect(after('starting', [up])).toMatchObject({ state: 'up' });
    expect(after('stopped', [down, down, down])).toMatchObject({ state: 'stopped' });
    expect(after('stopped', [up, up])).toMatchObject({ state: 'up' });
    expect(after('up', [blind, blind])).toMatchObject({ state: 'up' });
    expect(after('unknown', [blind])).toMatchObject({ state: 'unknown', reason: 'nothing to look at' });
  });

  test('changes at most once in two looks, whatever flaps, and writes nothing while nothing changes', () => {
    const states = fc.constantFrom(...serviceStates.filter((state) => state === 'up' || state === 'down'));
    fc.assert(
      fc.property(states, fc.array(fc.constantFrom(up, down, blind)), (state, signs) => {
        let before: WatchedService = { state, reason: '', looks: 0 };
        let changes = 0;
        for (const sign of signs) {
          const next = settleService(before, sign, 0);
          if (next.state !== before.state) changes += 1;
          before = next;
        }
        expect(changes).toBeLessThanOrEqual(signs.length / 2);
        const settled = after(state, [...signs, down, down]);
        expect(settleService(settled, down, 0)).toEqual(settled);
      }),
    );
  });
});

test('whether a service is required says how much its fall matters', () => {
  const facts = { state: 'down' as const, reason: 'port 1 refuses', required: true, machineState: 'ready' as const };
  expect(judgeService(facts)).toEqual({ state: 'failing', reason: 'port 1 refuses' });
  expect(judgeService({ ...facts, required: false })).toMatchObject({ state: 'late' });
  expect(judgeService({ ...facts, machineState: 'lost' })).toMatchObject({ state: 'lost' });
  expect(judgeService({ ...facts, state: 'up', reason: '' })).toEqual({ state: 'ok', reason: '' });
  expect(judgeService({ ...facts, state: 'stopped' })).toMatchObject({ state: 'ok' });
  expect(judgeService({ ...facts, state: 'unknown', reason: '' })).toMatchObject({ state: 'not_set_up' });
});

describe('containers and units', () => {
  const ran: string[][] = [];
  const tool =
    (code: number, out: string): Run =>
    (file, args) => {
      ran.push([file, ...args]);
      return Promise.resolve({ code, out });
    };
  const look = (kind: 'container' | 'unit' | 'process', run: Run) =>
    lookAtService({ spec: { id: 'store@pc2', kind, ports: [] }, hosts: [], isRun: false }, run);

  test('are what docker and systemd say', async () => {
    expect(await look('container', tool(0, 'running\n'))).toEqual(up);
    expect(await look('container', tool(0, 'running unhealthy\n'))).toEqual({
      sign: 'down',
      reason: 'its container is unhealthy',
    });
    expect(await look('container', tool(0, 'exited\n'))).toEqual({ sign: 'down', reason: 'its container is exited' });
    expect(await look('unit', tool(0, 'active\n'))).toEqual(up);
    expect(await look('unit', tool(3, 'failed\n'))).toEqual({ sign: 'down', reason: 'its unit is failed' });
    expect(ran.at(-1)).toEqual(['systemctl', 'is-active', 'store.service']);
  });

  test('are unknown where the tool is absent, does not know them, or there is none', async () => {
    const absent: Run = () => Promise.resolve(undefined);
    for (const sign of [
      await look('container', absent),
      await look('container', tool(1, '')),
      await look('unit', absent),
      await look('unit', tool(4, 'inactive\n')),
      await look('process', absent),
    ])
      expect(sign).toMatchObject({ sign: 'unknown' });
  });
});
