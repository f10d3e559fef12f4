import { createInterface } from 'node:readline/promises';
import { text as textOf } from 'node:stream/consumers';
import type { Command } from 'commander';
import { askAgent, type Message, type Saying, unanswered } from '../answers.ts';
import type { Client } from '../client.ts';
import { badInput, CommandFailure, exitCodes } from '../failures.ts';
import { bad, bold, dim, line, plain, plainLines, printJson, warn } from '../output.ts';
import { type Session, sessionOf } from '../program.ts';
import { whisperLine } from '../whisper-lines.ts';

const quoteChars = 90;

interface TalkOptions {
  conversation?: string;
  as?: string;
  whisper?: boolean;
}

/** Before a line: it also whispers. */
const whisperMark = '/whisper';

export function talkCommand(program: Command): void {
  program
    .command('talk')
    .argument('<agent>', 'id of the agent')
    .argument('[message...]', 'what you say; without it you talk line by line')
    .option('--conversation <id>', 'go on with an earlier conversation')
    .option('--as <name>', 'who speaks; default: the name of the token')
    .option('--whisper', 'once it is answered, what you say is also a whisper (request) for a child of the agent')
    .description('talk to an agent: it answers from what it remembers, and remembers it')
    .action(async (agentId: string, words: string[], options: TalkOptions, command: Command) => {
      const session = sessionOf(command);
      if (words.length === 0 && process.stdin.isTTY && !session.json) return talkOn(session, agentId, options);
      const text = words.length > 0 ? words.join(' ') : (await textOf(process.stdin)).trim();
      if (text === '') throw badInput('nothing was said', 'Give a message, or type one on a terminal.');
      const message = await sayOnce(session, agentId, sayingOf(text, options));
      if (session.json) printJson(message);
      else if (message.state === 'answered' && !process.stdout.isTTY) line(plainLines(message.answer));
      if (message.state !== 'answered') throw unanswered(message);
      if (!session.json) showGrounds(message);
    });
}

function sayingOf(text: string, { conversation, as, whisper }: TalkOptions): Saying {
  return { text, conversationId: conversation, author: as, whisper };
}

/** One message; Ctrl-C cancels it at the server too, once more leaves without waiting for that. */
async function sayOnce({ client, json }: Session, agentId: string, saying: Saying): Promise<Message> {
  const stop = interruption(process);
  try {
    return await ask(client, agentId, saying, stop, process.stdout.isTTY && !json);
  } finally {
    stop.off();
  }
}

/** Line by line, in one conversation, until /quit or the end of input. */
async function talkOn({ client }: Session, agentId: string, options: TalkOptions): Promise<void> {
  const agent = await client.get<{ name: string }>(`/agents/${encodeURIComponent(agentId)}`);
  const reader = createInterface({ input: process.stdin, output: process.stdout, prompt: bold('you › ') });
  let { conversation } = options;
  line(
    dim(
      `${plain(agent.name)} listens. Ctrl-C cancels an answer, /quit ends, ${whisperMark} before a line asks for a child.`,
    ),
  );
  reader.prompt();
  try {
    for await (const typed of reader) {
      const text = typed.trim();
      if (text === '/quit') return;
      const asks = text === whisperMark || text.startsWith(`${whisperMark} `);
      const words = asks ? text.slice(whisperMark.length).trim() : text;
      if (words !== '') {
        process.stdout.write(bold(`${plain(agent.name)} › `));
        const message = await answered(words, asks || options.whisper === true);
        conversation = message?.conversationId ?? conversation;
      } else if (asks) line(dim(`say after ${whisperMark} whom it should call into being`));
      reader.prompt();
    }
  } finally {
    reader.close();
  }

  /** A message that fails ends nothing but itself. */
  async function answered(text: string, whisper: boolean): Promise<Message | undefined> {
    const stop = interruption(reader);
    try {
      const of = {
        ...options,
        ...(conversation === undefined ? {} : { conversation }),
        ...(whisper ? { whisper } : {}),
      };
      const saying = sayingOf(text, of);
      const message = await ask(client, agentId, saying, stop, true);
      if (message.state === 'answered') showGrounds(message);
      else line(warn(message.state === 'canceled' ? 'canceled' : plain(message.reason)));
      return message;
    } catch (err) {
      if (!(err instanceof CommandFailure)) throw err;
      line(bad(plain(err.message)));
      return undefined;
    } finally {
      stop.off();
    }
  }
}

/** Asks, shows the answer as it is written where wanted, and cancels it when interrupted. */
async function ask(
  client: Client,
  agentId: string,
  saying: Saying,
  { cancel, leave }: Interruption,
  shows: boolean,
): Promise<Message> {
  let messageId: string | undefined;
  let shown = '';
  const watch = {
    onQueued(id: string) {
      messageId = id;
      if (cancel.aborted) cancelIt();
    },
    onText(piece: string) {
      shown += piece;
      if (shows) process.stdout.write(plainLines(piece));
    },
    onRestart(machineId: string) {
      if (shows && shown !== '') line(dim(`\n(cut off; ${machineId} begins anew)`));
      shown = '';
    },
  };
  const cancelIt = () => {
    if (messageId === undefined) return;
    // The stream ends with the message as it then stands, also where it was answered in this moment.
    client.post(`/messages/${messageId}/cancel`).catch((err: unknown) => {
      if (!(err instanceof CommandFailure)) throw err;
    });
  };
  cancel.addEventListener('abort', cancelIt, { once: true });
  const message = await askAgent(client, agentId, saying, watch, leave);
  if (!shows) return message;
  // What was shown and what stands differ where a name of no memory was taken out, or where pieces were missed.
  const complete = withoutNames(shown) === withoutNames(message.answer);
  if (message.state === 'answered' && !complete) line(`${shown === '' ? '' : '\n'}${plainLines(message.answer)}`);
  else line();
  return message;
}

function withoutNames(text: string): string {
  return text.replaceAll(/\s*\[m[\d,;\sm]*\]/g, '').trim();
}

function showGrounds(message: Message): void {
  for (const { alias, text, occurredAt } of message.citations) {
    const quote = plain(text);
    const cut = quote.length > quoteChars ? `${quote.slice(0, quoteChars - 1)}…` : quote;
    line(dim(`  [${alias}] ${occurredAt.slice(0, 10)} ${cut}`));
  }
  if (message.source === 'extractive') line(dim('  extractive: memories quoted, no model was used'));
  if (message.degraded) line(dim(`  degraded: ${message.modelId} stands in for ${message.wantedModelId}`));
  if (message.reason !== '' && !message.degraded) line(dim(`  ${plain(message.reason)}`));
  if (message.whisper !== null) line(`  ${whisperLine(message.whisper)}`);
}

interface Interruption {
  /** Ctrl-C once. */
  cancel: AbortSignal;
  /** Ctrl-C twice. */
  leave: AbortSignal;
  off(): void;
}

/** Ctrl-C as a signal of its own, so that it ends the answer and not the command. */
function interruption(source: Pick<NodeJS.EventEmitter, 'on' | 'off'>): Interruption {
  const [cancel, leave] = [new AbortController(), new AbortController()];
  const stop = () => {
    if (cancel.signal.aborted)
      leave.abort(new CommandFailure('left before it was answered', { exitCode: exitCodes.failed }));
    cancel.abort();
  };
  source.on('SIGINT', stop);
  return { cancel: cancel.signal, leave: leave.signal, off: () => source.off('SIGINT', stop) };
}
