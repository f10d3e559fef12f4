import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';

/** What the server does instead of taking a mail; `cut` breaks the connection, `hold` never answers. */
export type MailFate = 'take' | 'cut' | 'hold' | { code: number; say: string };

export interface MailScript {
  /** Before it has said a word. */
  greeting?: MailFate;
  /** When it is told whom a mail is to. */
  recipient?: MailFate;
  /** When it has the whole mail. */
  data?: MailFate;
}

export interface ReceivedMail {
  from: string;
  to: string;
  raw: string;
  messageId: string;
  subject: string;
  text: string;
}

export type MailServer = Awaited<ReturnType<typeof startMailServer>>;

/** A real SMTP server (of the authors of nodemailer) on the loopback, that does what a test says for each address. */
export async function startMailServer() {
  const scripts = new Map<string, MailScript[]>();
  const received: ReceivedMail[] = [];
  /** What it was told and did, such as `data ada@x.example`. */
  const seen: string[] = [];
  let greeting: MailFate = 'take';

  function fateOf(address: string, phase: 'recipient' | 'data'): MailFate {
    const script = scripts.get(address)?.[0];
    const fate = script?.[phase] ?? 'take';
    // A script is for one try: it is over with what it does other than to go on, or with the mail.
    if (script && (fate !== 'take' || phase === 'data')) scripts.get(address)!.shift();
    return fate;
  }

  function carryOut(fate: MailFate, session: SMTPServerSession, done: (err?: Error | null) => void): void {
    if (fate === 'take') return done();
    if (fate === 'hold') return;
    if (fate === 'cut') return cut(session.id);
    done(Object.assign(new Error(fate.say), { responseCode: fate.code }));
  }

  function cut(id?: string): void {
    for (const connection of server.connections) {
      const { session, _socket } = connection as unknown as { session: { id: string }; _socket: { destroy(): void } };
      if (id === undefined || session.id === id) _socket.destroy();
    }
  }

  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    logger: false,
    onConnect(session, done) {
      seen.push('greeting');
      carryOut(greeting, session, done);
    },
    onRcptTo({ address }, session, done) {
      seen.push(`recipient ${address}`);
      carryOut(fateOf(address, 'recipient'), session, done);
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const to = session.envelope.rcptTo[0]!.address;
        const { mailFrom } = session.envelope;
        const mail = parsed(mailFrom === false ? '' : mailFrom.address, to, Buffer.concat(chunks).toString('utf8'));
        received.push(mail);
        seen.push(`data ${to}`);
        carryOut(fateOf(to, 'data'), session, done);
      });
    },
  });
  server.on('error', () => undefined);
  const port = await listen(0);

  function listen(wanted: number): Promise<number> {
    return new Promise((resolve) => {
      server.listen(wanted, '127.0.0.1', () => resolve((server.server.address() as AddressInfo).port));
    });
  }

  return {
    url: `smtp://127.0.0.1:${port}`,
    port,
    received,
    seen,
    /** What to do at the next tries for an address, one script each; then mails are taken. */
    script(address: string, ...next: MailScript[]): void {
      scripts.set(address, next);
    },
    greetWith(fate: MailFate): void {
      greeting = fate;
    },
    to: (address: string) => received.filter((mail) => mail.to === address),
    async close(): Promise<void> {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function parsed(from: string, to: string, raw: string): ReceivedMail {
  const [head = '', ...rest] = raw.split('\r\n\r\n');
  const unfolded = head.replaceAll(/\r\n[ \t]+/g, ' ');
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(unfolded)?.[1] ?? '';
  const body = rest.join('\r\n\r\n');
  const text = /quoted-printable/i.test(field('content-transfer-encoding'))
    ? body
        .replaceAll('=\r\n', '')
        .replaceAll(/(?:=[0-9A-F]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll('=', ''), 'hex').toString('utf8'))
    : body;
  return { from, to, raw, messageId: field('message-id'), subject: field('subject'), text };
}
