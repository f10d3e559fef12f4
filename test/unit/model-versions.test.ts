import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FleetView } from '../../activities/fleet-view.ts';
import { modelVariants } from '../../domain/fleet.ts';
import { copyName } from '../../domain/model-manifest.ts';
import { createModelVersions } from '../../workers/model-versions.ts';
import { testFleet } from '../support/fleets.ts';
import { firstDigest, type ModelServer, startModelServer } from '../support/model-server.ts';

const model = 'light_q4';
const first = firstDigest(model);
const stray = '4'.repeat(64);
const newer = '5'.repeat(64);
const mute = '6'.repeat(64);
const copy = copyName(model, first);
const never = new AbortController().signal;
let server: ModelServer;
let onLoad: ((loaded: string) => void) | undefined;

function versionsOf(accepted: string[] | undefined) {
  const fleet = testFleet({ heavy: 0, light: 1 });
  const light = fleet.models.find(({ id }) => id === 'light')!.quantisations['q4']!;
  return createModelVersions({
    view: () => {
      if (accepted) light.digests = { ollama: accepted };
      const variants = new Map(modelVariants(fleet).map((variant) => [variant.id, variant]));
      return { fleet, variants } as unknown as FleetView;
    },
    server: () => ({ kind: 'ollama', url: server.url }),
    apiKey: undefined,
  });
}

beforeEach(async () => {
  onLoad = undefined;
  server = await startModelServer({
    slots: 1,
    tokensPerSecond: 1_000,
    models: [model],
    mute: [mute],
    on: { load: (loaded) => onLoad?.(loaded) },
  });
});
afterEach(() => server.close());

test('a model without digests is not of its concern', async () => {
  const versions = versionsOf(undefined);
  expect(await versions.load(model, never)).toBe(false);
  expect(versions.copyOf(model)).toBeUndefined();
  expect(versions.isStale(model)).toBe(false);
});

test('before it is loaded nothing is called', async () => {
  const versions = versionsOf([first]);
  expect(() => versions.copyOf(model)).toThrow('is loaded anew');
  await versions.load(model, never);
  expect(versions.copyOf(model)).toBe(copy);
});

test('weights that are replaced while they are loaded are not served', async () => {
  const versions = versionsOf([first]);
  onLoad = () => server.replace(copy, stray);
  await expect(versions.load(model, never)).rejects.toThrow('was replaced while it was loaded');
  expect(() => versions.copyOf(model)).toThrow('is loaded anew');
  expect(server.loadedModels()).toEqual([]);
  // Made anew from what is there still by the usual name.
  onLoad = undefined;
  await versions.load(model, never);
  expect(server.installed()[copy]).toBe(first);
  expect(versions.copyOf(model)).toBe(copy);
});

test('a copy that is replaced or deleted later is found at the next look, and loaded anew', async () => {
  const versions = versionsOf([first]);
  await versions.load(model, never);
  expect((await versions.report())?.serves).toEqual([{ modelId: model, digest: first }]);
  expect(versions.isStale(model)).toBe(false);
  server.replace(copy, stray);
  expect((await versions.report())?.serves).toEqual([]);
  expect(versions.isStale(model)).toBe(true);
  expect(() => versions.copyOf(model)).toThrow('is loaded anew');
  await versions.load(model, never);
  expect(versions.isStale(model)).toBe(false);
  expect(server.installed()[copy]).toBe(first);
});

test('a version that is applied is served only once a sync asks for it, however often the one before is loaded again', async () => {
  const accepted = [first];
  const versions = versionsOf(accepted);
  await versions.load(model, never);
  accepted.unshift(newer);
  server.replace(model, newer);
  await versions.load(model, never);
  expect(versions.copyOf(model)).toBe(copy);
  versions.ask(model);
  versions.endAsking(model);
  await versions.load(model, never);
  expect(versions.copyOf(model)).toBe(copy);
  versions.ask(model);
  await versions.load(model, never);
  versions.endAsking(model);
  expect(versions.isWanted(model)).toBe(true);
  // Back again the same way.
  accepted.reverse();
  await versions.load(model, never);
  expect(versions.isWanted(model)).toBe(false);
});

test('a version that gives no answer is told of where there is no other, and no more once it is another that is served', async () => {
  const accepted = [mute];
  const versions = versionsOf(accepted);
  server.replace(model, mute);
  await expect(versions.load(model, never)).rejects.toThrow('asked for a sentence');
  expect(versions.whyNot(model)).toContain('asked for a sentence');
  expect(await versions.report()).toMatchObject({ serves: [], failed: [{ modelId: model, digest: mute }] });
  server.replace(model, first);
  accepted.splice(0, 1, first);
  await versions.load(model, never);
  expect(await versions.report()).toMatchObject({ serves: [{ digest: first }], failed: [] });
});
