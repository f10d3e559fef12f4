import { problemOf } from './client.ts';
import { text } from './text.ts';

const silentMs = 45_000;

export interface StreamEvent {
  id: string | undefined;
  type: string;
  data: string;
}

interface Reading {
  signal: AbortSignal;
  /** The id of the last event that was read; the stream goes on after it. */
  last?: string | undefined;
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: unknown;
  onOpen?: () => void;
  onEvent: (event: StreamEvent) => void;
}

/** Reads server-sent events until the stream ends. EventSource hears only types that it is told beforehand, and cannot post. @throws Problem */
export async function readEvents(
  url: string,
  { signal, last, method = 'GET', headers = {}, body, onOpen, onEvent }: Reading,
): Promise<void> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  // The server beats every 15 s; a connection that sleep or a tunnel cut says nothing for ever.
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error(text.app.live.silent)), silentMs);
  };
  try {
    // Also the answer's head may never come.
    heard();
    const response = await fetch(url, {
      method,
      signal: AbortSignal.any([signal, silence.signal]),
      headers: {
        accept: 'text/event-stream',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(last === undefined ? {} : { 'last-event-id': last }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok || response.body === null) throw await problemOf(response);
    onOpen?.();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = createEventParser(onEvent);
    for (;;) {
      heard();
      const { done, value } = await reader.read();
      if (done) return;
      parser(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Takes the text of a stream piece by piece, wherever it was cut. */
export function createEventParser(onEvent: (event: StreamEvent) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const blocks = (rest + text).split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event: StreamEvent = { id: undefined, type: 'message', data: '' };
      const data: string[] = [];
      for (const line of block.split(/\r?\n/)) {
        const [, field, value = ''] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
        if (field === 'id') event.id = value;
        else if (field === 'event') event.type = value;
        else if (field === 'data') data.push(value);
      }
      event.data = data.join('\n');
      if (event.id !== undefined || data.length > 0) onEvent(event);
    }
  };
}
