import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** Where distributions put it. */
export const browserPath = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  .map((name) => `/usr/bin/${name}`)
  .find((path) => existsSync(path));

export interface Page {
  /** Loads an address, as who opens a link does. */
  open(url: string): Promise<void>;
  /** What an expression of JavaScript is in the page, as JSON. */
  read<Value>(expression: string): Promise<Value>;
}

/** Chromium without a window, by the DevTools protocol over a pipe: no port is open. */
export async function openBrowser(path: string) {
  const profile = mkdtempSync(join(tmpdir(), 'soulfra-browser-'));
  // Who runs the tests may be root, whom the sandbox refuses; what is opened is our own page.
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];
  const child = spawn(path, [...flags, '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const commands = child.stdio[3] as Writable;
  const answers = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  let last = 0;
  let rest = '';
  (child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => {
    const messages = (rest + text).split('\0');
    rest = messages.pop() ?? '';
    for (const message of messages) {
      const { id, result, error } = JSON.parse(message) as {
        id?: number;
        result?: Record<string, unknown>;
        error?: { message: string };
      };
      const waiting = id === undefined ? undefined : answers.get(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result ?? {});
    }
  });
  void ended.then(() => {
    for (const { reject } of answers.values()) reject(new Error('the browser has ended'));
  });

  async function ask(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = (last += 1);
    const answer = Promise.withResolvers<Record<string, unknown>>();
    answers.set(id, answer);
    commands.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`);
    try {
      return await answer.promise;
    } finally {
      answers.delete(id);
    }
  }

  return {
    async newPage(): Promise<Page> {
      const { browserContextId } = await ask('Target.createBrowserContext', {});
      const { targetId } = await ask('Target.createTarget', { url: 'about:blank', browserContextId });
      const { sessionId } = (await ask('Target.attachToTarget', { targetId, flatten: true })) as { sessionId: string };
      return {
        async open(url) {
          const { errorText } = (await ask('Page.navigate', { url }, sessionId)) as { errorText?: string };
          if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
        },
        async read<Value>(expression: string) {
          const asked = { expression, returnByValue: true, awaitPromise: true };
          const { result, exceptionDetails } = await ask('Runtime.evaluate', asked, sessionId);
          if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
          return (result as { value: Value }).value;
        },
      };
    },
    async close(): Promise<void> {
      await ask('Browser.close', {}).catch(() => child.kill());
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
