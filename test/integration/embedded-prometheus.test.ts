import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openHome } from '../../deploy/embedded/home.ts';
import { parseOptions } from '../../deploy/embedded/options.ts';
import { createParts } from '../../deploy/embedded/parts.ts';
import { startPrometheus } from '../../deploy/embedded/prometheus.ts';
import type { Screen } from '../../deploy/embedded/screen.ts';
import { alertGroups } from '../../observability/alerts/all.ts';
import { until } from '../support/lab.ts';
import { freePort, lacksPrometheus } from '../support/prometheus.ts';

let folder: string;
let lines: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-prometheus-'));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const screen: Screen = {
  line: (text) => void lines.push(text),
  step: (name) => ({
    progress: () => undefined,
    done: (text) => void lines.push(`done ${name} ${text}`),
    fail: (text) => void lines.push(`fail ${name} ${text}`),
  }),
};

async function begin(env: NodeJS.ProcessEnv) {
  const home = openHome({ ...env, SOULFRA_HOME: folder }, folder);
  const parts = createParts({ home, onEvent: (text) => screen.line(text), onFailed: (_part, why) => screen.line(why) });
  const [prometheus, apiMetrics, temporalMetrics] = await Promise.all([freePort(), freePort(), freePort()]);
  const ports = { prometheus, apiMetrics, temporalMetrics };
  const scraped = await startPrometheus({ home, env, ports, parts, screen, ownTemporal: true });
  return { parts, ports, scraped };
}

test('`--with-metrics` is an option, and off unless asked for', () => {
  expect(parseOptions([])).toMatchObject({ withMetrics: false });
  expect(parseOptions(['--with-metrics'])).toMatchObject({ withMetrics: true });
});

test('where Prometheus is not installed the screen says what brings it, and nothing else is held up', async () => {
  const { scraped, parts } = await begin({ PATH: folder });
  expect(scraped).toBeUndefined();
  expect(parts.list()).toEqual([]);
  expect(lines).toEqual([
    expect.stringMatching(
      /^fail Prometheus is not installed; all else goes on without it\. This brings it: .*prometheus/,
    ),
  ]);
});

test.skipIf(lacksPrometheus('Prometheus beside the stack (test/integration/embedded-prometheus.test.ts)'))(
  'it has all rules, and scrapes workers that come later',
  async () => {
    const { parts, ports, scraped } = await begin(process.env);
    try {
      expect(lines).toEqual([expect.stringContaining(`done Prometheus :${ports.prometheus}`)]);
      const ask = async <T>(path: string) => {
        const answer = await fetch(`http://127.0.0.1:${ports.prometheus}/api/v1/${path}`);
        return ((await answer.json()) as { data: T }).data;
      };
      const { groups } = await ask<{ groups: Array<{ rules: Array<{ name: string }> }> }>('rules');
      expect(groups.flatMap(({ rules }) => rules.map(({ name }) => name)).sort()).toEqual(
        alertGroups.flatMap(({ alerts }) => alerts.map(({ name }) => name)).sort(),
      );
      const targets = async () => {
        const { activeTargets } = await ask<{ activeTargets: Array<{ scrapeUrl: string; labels: { job: string } }> }>(
          'targets',
        );
        return activeTargets.map(({ scrapeUrl, labels }) => `${labels.job} ${new URL(scrapeUrl).port}`).sort();
      };
      const served = { enabled: true, host: '127.0.0.1' };
      scraped!.scrapeApi(served);
      scraped!.scrapeWorker('mainpc', { own: 21_000, core: 21_001 }, served);
      scraped!.scrapeWorker('mainpc', { own: 21_000, core: 21_001 }, served);
      scraped!.scrapeWorker('pc2', { own: 21_002, core: 21_003 }, served);
      await until('workers are scraped', async () => (await targets()).length === 7, 40_000);
      expect(await targets()).toEqual(
        [
          `prometheus ${ports.prometheus}`,
          `soulfra-api ${ports.apiMetrics}`,
          'soulfra-workers 21000',
          'soulfra-workers 21002',
          'temporal-core 21001',
          'temporal-core 21003',
          `temporal-server ${ports.temporalMetrics}`,
        ].sort(),
      );
      // As fleet.yaml has it: at every address, at one of another interface, and not at all.
      scraped!.scrapeApi({ enabled: true, host: '0.0.0.0' });
      scraped!.scrapeWorker('mainpc', { own: 21_000, core: 21_001 }, { enabled: true, host: '127.0.0.9' });
      scraped!.scrapeWorker('pc2', { own: 21_002, core: 21_003 }, { enabled: false, host: '127.0.0.1' });
      const hosts = async () => {
        const { activeTargets } = await ask<{ activeTargets: Array<{ scrapeUrl: string; labels: { job: string } }> }>(
          'targets',
        );
        return activeTargets.map(({ scrapeUrl, labels }) => `${labels.job} ${new URL(scrapeUrl).host}`).sort();
      };
      const expected = [
        `prometheus 127.0.0.1:${ports.prometheus}`,
        `soulfra-api 127.0.0.1:${ports.apiMetrics}`,
        'soulfra-workers 127.0.0.9:21000',
        'temporal-core 127.0.0.9:21001',
        `temporal-server 127.0.0.1:${ports.temporalMetrics}`,
      ].sort();
      await until('it goes by what is served', async () => (await hosts()).join() === expected.join(), 40_000);
      scraped!.scrapeApi({ enabled: false, host: '127.0.0.1' });
      expect(lines.at(-1)).toBe(
        'fail Prometheus metrics are off: metrics.enabled in fleet.yaml; what serves none is not scraped',
      );
      await until('nothing of the API is asked for', async () => (await hosts()).length === 4, 40_000);
    } finally {
      await parts.stopAll();
    }
  },
);
