import { openBox } from '../../test/support/box.ts';
import { type PlantedFault, plantedFaults } from '../../test/support/planted-faults.ts';

/** One of each kind of thing that goes wrong; test/integration/doctor.test.ts plants all there are. */
const chosen = [
  'a port of ours is taken by another program',
  'Postgres does not wait for its disk',
  'a migration is missing',
  'Redis is down',
  'a search attribute is missing',
  'the model server lacks a model',
  'the model server is down',
  'everybody may read a secret file',
  'other programs hold the memory that the plan counts on',
  'the driver of the card does not work',
  'the clock of the host is wrong',
  'the worker of a machine is gone',
];

/** Plants faults one at a time on a sound box; each has to be named with its mend, and nothing when nothing is wrong. */
export async function namedFaults(
  onEach: (name: string, named: boolean) => void,
): Promise<{ planted: number; named: number; namedWhenSound: number }> {
  const box = await openBox();
  try {
    const amiss = async () =>
      (await box.doctor()).checks.filter(({ state }) => state === 'warn' || state === 'fail').length;
    let namedWhenSound = await amiss();
    let named = 0;
    for (const name of chosen) {
      const fault = plantedFaults.find((each) => each.name === name);
      if (fault === undefined) throw new Error(`no such fault: ${name}`);
      const seen = await planted(box, fault);
      onEach(name, seen);
      if (seen) named += 1;
    }
    namedWhenSound += await amiss();
    return { planted: chosen.length, named, namedWhenSound };
  } finally {
    await box.stop();
    box.remove();
  }
}

async function planted(box: Awaited<ReturnType<typeof openBox>>, fault: PlantedFault): Promise<boolean> {
  await fault.plant(box);
  try {
    const { checks } = await box.doctor(fault.env);
    return checks.some(
      ({ id, machine, state, detail, mend }) =>
        id === fault.check &&
        machine === (fault.machine ?? null) &&
        state === fault.state &&
        fault.detail.test(detail) &&
        fault.mend.test(mend ?? ''),
    );
  } finally {
    await fault.heal(box);
  }
}
