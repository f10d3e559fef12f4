import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { type Lab, type LabProcess, openLab, until } from '../support/lab.ts';
import { axeFindings, lacksBrowser, openUiStage, settled, type UiStage } from '../support/ui-stage.ts';

/** A lease has to run out, and a plan to be made and carried out, on a machine that may have other things to do. */
const patienceMs = 120_000;

describe.skipIf(lacksBrowser('workers in a browser'))('with the worker processes of both machines', () => {
  let stage: UiStage;
  let lab: Lab;
  let logs: string;
  let mainpc: LabProcess;
  beforeAll(async () => {
    stage = await openUiStage();
    logs = mkdtempSync(join(tmpdir(), 'soulfra-ui-killed-'));
    const source = readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8');
    const applied = await stage.api.call('POST', '/v1/fleet/apply', { body: { source } });
    expect(applied.status, applied.text).toBe(200);
    lab = await openLab(stage.api.scope, { logs, workerLogLevel: 'warn' });
    mainpc = lab.startWorker('mainpc');
    lab.startWorker('pc2');
    await lab.settled(['mainpc', 'pc2'], patienceMs);
  }, 300_000);
  afterAll(async () => {
    await lab?.close();
    await stage?.close();
    if (logs) rmSync(logs, { recursive: true, force: true });
  }, 120_000);

  test('a talk: what is said on a phone is answered out of what the agent remembers, and says so', async () => {
    const remembered = 'The ferry bell hung crooked this morning.';
    const told = await stage.api.call('POST', '/v1/agents/vesper-001/memories', { body: { text: remembered } });
    expect(told.status, told.text).toBeLessThan(300);
    const { page, faults, close } = await stage.visit({ width: 390, height: 844 });
    page.setDefaultTimeout(patienceMs);
    await page.goto(`${stage.url}/agents/vesper-001?tab=talk`);
    await settled(page);
    await page.getByLabel(/^Say something to/).fill('How does the ferry bell hang?');
    await page.keyboard.press('Enter');
    const talk = page.getByRole('list', { name: /^Conversation with/ });
    await talk.getByText('How does the ferry bell hang?').waitFor();
    await talk.getByText('extractive: quotes memories, no model was used').waitFor();
    expect(await talk.locator('.talk-answer').innerText()).toContain('The ferry bell hung crooked');
    await talk.getByText('What the answer rests on').click();
    await talk.getByRole('listitem').getByText(remembered).last().waitFor();
    expect(await axeFindings(page)).toEqual([]);
    expect(faults).toEqual([]);
    await close();
  }, 240_000);

  test('one is killed while the fleet page is open: its dots move to the other machine, and nothing is loaded or drawn anew', async () => {
    const { page, faults, close } = await stage.visit({ clocks: false });
    const loads: string[] = [];
    page.on('framenavigated', (frame) => loads.push(frame.url()));
    await page.goto(`${stage.url}/fleet`);
    await settled(page);
    await page.getByText('Live', { exact: true }).first().waitFor();
    await page.locator('.dot').first().waitFor();
    const before = await page.evaluate<string[]>(`(() => {
      window.loadedOnce = true;
      window.dots = [...document.querySelectorAll('.dot[data-kind=agent]')];
      return window.dots.map((dot) => dot.style.transform);
    })()`);
    expect(before).toHaveLength(297);
    expect(await page.locator('.yard[data-state=ready]').count()).toBe(2);
    const opened = [...loads];

    await mainpc.end('SIGKILL');
    await page.locator('.yard[data-state=lost]').waitFor({ timeout: patienceMs });
    const homes = async () => {
      const rows = await lab.db.selectFrom('agents').select('homeMachineId').execute();
      return rows.filter(({ homeMachineId }) => homeMachineId === 'mainpc').length;
    };
    await until('nobody’s home is the lost machine', async () => (await homes()) === 0, patienceMs);
    const pc2 = await lab.db
      .selectFrom('agents')
      .select(({ fn }) => fn.countAll<string>().as('agents'))
      .where('homeMachineId', '=', 'pc2')
      .executeTakeFirstOrThrow();
    // What stands in the page is what stands in the database.
    await page.getByRole('img', { name: `pc2: ${pc2.agents} agents` }).waitFor({ timeout: patienceMs });
    const after = await page.evaluate<Array<{ place: string; isThere: boolean }>>(
      'window.dots.map((dot) => ({ place: dot.style.transform, isThere: dot.isConnected }))',
    );
    expect(after.filter(({ isThere }) => !isThere)).toEqual([]);
    expect(after.filter(({ place }, i) => place !== before[i]).length).toBeGreaterThan(50);
    expect(await page.evaluate('window.loadedOnce')).toBe(true);
    expect(loads).toEqual(opened);
    expect(faults).toEqual([]);
    await close();
  }, 480_000);
});
