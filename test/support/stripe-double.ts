import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Stripe from 'stripe';

/**
 * Stripe's HTTP contract as far as we use it (docs.stripe.com/api): form bodies, idempotency keys kept with their parameters and
 * the first answer, 500s among them, 409 for a key in use, objects, lists, expansion, signed events. Checked by
 * test/unit/stripe-double.test.ts through Stripe's own library.
 */
export type Fault =
  /** It is done, and nobody is told. */
  | 'silent-after'
  /** It is done, and the connection breaks. */
  | 'cut-after'
  /** Nothing is done, and the connection breaks. */
  | 'cut-before'
  /** Done, but the answer is a 500, which the key gives from then on. */
  | '500-after'
  /** Not done; the key gives the 500 from then on. */
  | '500-before'
  /** Not done, and the key is not kept. */
  | '429'
  | '409'
  | '402';

type Fields = { [name: string]: string | Fields };
interface Stored {
  id: string;
  object: string;
  [name: string]: unknown;
}
interface Kept {
  params: string;
  answer: { status: number; body: unknown } | undefined;
}
class Refused extends Error {
  readonly status: number;
  readonly body: Record<string, unknown>;
  constructor(status: number, body: Record<string, unknown>) {
    super(String(body['message']));
    this.status = status;
    this.body = body;
  }
}

export type StripeDouble = Awaited<ReturnType<typeof startStripeDouble>>;

export async function startStripeDouble({ secretKey = 'sk_test_double', webhookSecret = 'whsec_double' } = {}) {
  /** By key: whose it is. What is made by keys of one account and mode is not there for those of another. */
  const accounts = new Map<string, string>();
  let asking = '';
  const objects = new Map<string, Stored>();
  const kept = new Map<string, Kept>();
  const faults: Array<{ route: string; fault: Fault }> = [];
  /** Every change that was really made, in order. */
  const done: Array<{ what: string; id: string }> = [];
  const requests: Array<{ route: string; key: string | undefined }> = [];
  const events: Stripe.Event[] = [];
  const intentsToBe = new Map<string, Fields>();
  const open = new Set<ServerResponse>();
  const isLive = () => asking.endsWith('/live');
  const addKey = (key: string, account: string) =>
    accounts.set(key, `${account}/${/^[sr]k_live_/.test(key) ? 'live' : 'test'}`);
  addKey(secretKey, 'acct_platform');
  asking = accounts.get(secretKey)!;
  /** Of each object: whose it is. */
  const homes = new Map<string, string>();
  let made = 0;
  const newId = (prefix: string) => `${prefix}_${String((made += 1)).padStart(6, '0')}`;
  const seconds = () => Math.floor(Date.now() / 1000);

  function put<T extends Record<string, unknown>>(prefix: string, object: string, fields: T): Stored & T {
    const stored = { id: newId(prefix), object, created: seconds(), livemode: isLive(), ...fields };
    objects.set(stored.id, stored);
    homes.set(stored.id, asking);
    return stored;
  }
  function get(id: string, object?: string): Stored {
    const found = objects.get(id);
    if (!found || homes.get(id) !== asking || (object !== undefined && found.object !== object))
      throw new Refused(404, {
        type: 'invalid_request_error',
        code: 'resource_missing',
        message: `No such object: ${id}`,
      });
    return found;
  }
  const all = (object: string) =>
    [...objects.values()].filter((each) => each.object === object && homes.get(each.id) === asking);

  function tell(type: string, object: Stored): Stripe.Event {
    const event = {
      id: newId('evt'),
      object: 'event',
      type,
      created: seconds(),
      livemode: object['livemode'] as boolean,
      data: { object: structuredClone(object) },
    };
    events.push(event as unknown as Stripe.Event);
    return event as unknown as Stripe.Event;
  }
  const entry = (amount: number, fee: number, currency: string) =>
    put('txn', 'balance_transaction', { amount, fee, net: amount - fee, currency });

  /** 2.9 % and 30 minor units, as a usual card costs. */
  const feeOf = (amount: number) => Math.round(amount * 0.029) + 30;
  const number = (fields: Fields, name: string) => Number(fields[name]);
  const of = (fields: Fields, name: string): Fields => (typeof fields[name] === 'object' ? fields[name] : {});

  const routes: Record<
    string,
    (fields: Fields, ...ids: string[]) => Stored | { object: 'list'; data: Stored[]; has_more: boolean }
  > = {
    'GET /v1/account': () => ({ id: asking.split('/')[0]!, object: 'account' }),
    'POST /v1/checkout/sessions': (fields) => {
      const line = of(of(fields, 'line_items'), '0');
      const price = of(line, 'price_data');
      const data = of(fields, 'payment_intent_data');
      const amount = number(price, 'unit_amount') * number(line, 'quantity');
      if (!(amount > 0)) throw invalid('line_items[0][price_data][unit_amount]');
      const expiresAt = number(fields, 'expires_at');
      if (!(expiresAt >= seconds() + 1700)) throw invalid('expires_at');
      const session = put('cs', 'checkout.session', {
        mode: fields['mode'],
        status: 'open',
        payment_status: 'unpaid',
        client_reference_id: fields['client_reference_id'] ?? null,
        metadata: of(fields, 'metadata'),
        amount_total: amount,
        currency: price['currency'],
        payment_intent: null as string | null,
        allowed_payment_method_types: fields['allowed_payment_method_types'] ?? null,
        expires_at: expiresAt,
        url: null as string | null,
      });
      // Stripe makes the payment itself only when the buyer pays.
      intentsToBe.set(session.id, data);
      session.url = `https://checkout.stripe.example/c/${session.id}`;
      done.push({ what: 'checkout', id: session.id });
      return session;
    },
    'GET /v1/checkout/sessions/:id': (_fields, id) => get(id!, 'checkout.session'),
    'POST /v1/checkout/sessions/:id/expire': (_fields, id) => {
      const session = get(id!, 'checkout.session');
      if (session['status'] !== 'open') throw invalid('status');
      Object.assign(session, { status: 'expired', url: null });
      tell('checkout.session.expired', session);
      return session;
    },
    'GET /v1/payment_intents/:id': (_fields, id) => get(id!, 'payment_intent'),
    'POST /v1/payment_intents/:id/capture': (fields, id) => {
      const intent = get(id!, 'payment_intent');
      if (intent['status'] !== 'requires_capture') throw unexpected(intent);
      const amount =
        fields['amount_to_capture'] === undefined
          ? (intent['amount_capturable'] as number)
          : number(fields, 'amount_to_capture');
      const charge = get(intent['latest_charge'] as string);
      const txn = entry(amount, feeOf(amount), intent['currency'] as string);
      Object.assign(charge, { captured: true, balance_transaction: txn.id });
      Object.assign(intent, { status: 'succeeded', amount_received: amount, amount_capturable: 0 });
      done.push({ what: 'capture', id: intent.id });
      tell('charge.captured', charge);
      tell('payment_intent.succeeded', intent);
      return intent;
    },
    'POST /v1/payment_intents/:id/cancel': (_fields, id) => {
      const intent = get(id!, 'payment_intent');
      // Of a page only what is authorised may be canceled; the rest ends with the page.
      if (intent['status'] !== 'requires_capture') throw unexpected(intent);
      Object.assign(intent, { status: 'canceled', amount_capturable: 0 });
      // So it was before 2025-03-31.basil, and is still told to webhooks of an older version.
      if (double.cancelingRefunds) double.refundOutside(intent.id, intent['amount'] as number);
      done.push({ what: 'cancel', id: intent.id });
      tell('payment_intent.canceled', intent);
      return intent;
    },
    'GET /v1/refunds': (fields) =>
      list(all('refund').filter((each) => each['payment_intent'] === fields['payment_intent'])),
    'GET /v1/refunds/:id': (_fields, id) => get(id!, 'refund'),
    'POST /v1/refunds': (fields) => {
      const intent = get(fields['payment_intent'] as string, 'payment_intent');
      const charge = get(intent['latest_charge'] as string);
      const amount = fields['amount'] === undefined ? (intent['amount'] as number) : number(fields, 'amount');
      if (charge['disputed'] === true)
        throw new Refused(400, {
          type: 'invalid_request_error',
          code: 'charge_disputed',
          message: 'The charge is disputed.',
        });
      if (!(amount > 0) || (charge['amount_refunded'] as number) + amount > (intent['amount_received'] as number))
        throw invalid('amount');
      return double.refundOutside(intent.id, amount, of(fields, 'metadata'));
    },
    'GET /v1/disputes/:id': (_fields, id) => get(id!, 'dispute'),
    'GET /v1/transfers': (fields) =>
      list(all('transfer').filter((each) => each['transfer_group'] === fields['transfer_group'])),
    'POST /v1/transfers': (fields) => {
      const amount = number(fields, 'amount');
      if (!(amount > 0)) throw invalid('amount');
      const { destination } = fields;
      if (typeof destination !== 'string' || !destination.startsWith('acct_'))
        throw new Refused(400, {
          type: 'invalid_request_error',
          code: 'account_invalid',
          message: 'No such destination.',
        });
      if (double.balance !== undefined && amount > double.balance)
        throw new Refused(400, {
          type: 'invalid_request_error',
          code: 'balance_insufficient',
          message: 'Insufficient funds.',
        });
      const transfer = put('tr', 'transfer', {
        amount,
        currency: fields['currency'],
        destination,
        transfer_group: fields['transfer_group'] ?? null,
        metadata: of(fields, 'metadata'),
      });
      if (double.balance !== undefined) double.balance -= amount;
      done.push({ what: 'transfer', id: transfer.id });
      return transfer;
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    open.add(response);
    response.on('close', () => open.delete(response));
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '/', 'http://double');
    const fields = parse(
      request.method === 'GET' ? url.searchParams : new URLSearchParams(Buffer.concat(chunks).toString()),
    );
    const { expand, ...params } = fields;
    const send = (status: number, body: unknown, replayed = false) => {
      response.writeHead(status, {
        'content-type': 'application/json',
        'request-id': newId('req'),
        ...(replayed ? { 'idempotent-replayed': 'true' } : {}),
      });
      response.end(JSON.stringify(body));
    };
    const asker = accounts.get(request.headers.authorization?.replace('Bearer ', '') ?? '');
    if (asker === undefined)
      return send(401, { error: { type: 'invalid_request_error', message: 'Invalid API Key provided' } });
    const match = Object.keys(routes)
      .map((route) => ({ route, ids: idsIn(route, `${request.method} ${url.pathname}`) }))
      .find(({ ids }) => ids !== undefined);
    if (!match)
      return send(404, {
        error: { type: 'invalid_request_error', message: `Unrecognized request URL (${url.pathname})` },
      });
    const { route } = match;
    const key = request.headers['idempotency-key'] as string | undefined;
    requests.push({ route, key });
    const at = faults.findIndex((fault) => fault.route === route);
    const fault = at < 0 ? undefined : faults.splice(at, 1)[0]!.fault;
    const expanded = (body: unknown) =>
      expandAll(body, expand === undefined ? [] : Object.values(expand as Fields).map(String));

    if (fault === '429')
      return send(429, { error: { type: 'invalid_request_error', code: 'rate_limit', message: 'Too many requests' } });
    if (fault === '409')
      return send(409, { error: { type: 'idempotency_error', code: 'idempotency_key_in_use', message: 'In use' } });
    if (fault === 'cut-before') return void request.socket.destroy();
    const stated = JSON.stringify([route, url.pathname, params]);
    const ofKey = key === undefined ? undefined : `${asker}/${key}`;
    const before = ofKey === undefined ? undefined : kept.get(ofKey);
    if (before) {
      if (before.params !== stated)
        return send(400, {
          error: {
            type: 'idempotency_error',
            message: 'Keys for idempotent requests can only be used with the same parameters',
          },
        });
      if (before.answer === undefined)
        return send(409, { error: { type: 'idempotency_error', code: 'idempotency_key_in_use', message: 'In use' } });
      return send(before.answer.status, expanded(before.answer.body), true);
    }
    const keep: Kept = { params: stated, answer: undefined };
    if (ofKey !== undefined) kept.set(ofKey, keep);
    try {
      if (fault === '402')
        throw new Refused(402, { type: 'card_error', code: 'card_declined', message: 'Your card was declined.' });
      const work = double.slow;
      if (work > 0) await new Promise((resolve) => setTimeout(resolve, work));
      if (fault === '500-before') throw new Refused(500, { type: 'api_error', message: 'Sorry' });
      const result = structuredClone(askedBy(asker, () => routes[route]!(params, ...match.ids!)));
      if (fault === '500-after') throw new Refused(500, { type: 'api_error', message: 'Sorry' });
      keep.answer = { status: 200, body: result };
    } catch (err) {
      if (!(err instanceof Refused)) throw err;
      keep.answer = { status: err.status, body: { error: err.body } };
      // What does not pass the checks never began: its key is not kept.
      if (ofKey !== undefined && (err.status === 400 || err.status === 404)) kept.delete(ofKey);
    }
    if (fault === 'silent-after') return;
    if (fault === 'cut-after') return void request.socket.destroy();
    send(keep.answer.status, expanded(keep.answer.body));
  }

  /** Stripe makes the payment of a page only when the buyer first tries to pay. */
  function intentOf(session: Stored, status: string): Stored {
    const known = session['payment_intent'];
    const data = intentsToBe.get(session.id)!;
    const intent =
      typeof known === 'string'
        ? get(known)
        : put('pi', 'payment_intent', {
            amount: session['amount_total'],
            amount_received: 0,
            amount_capturable: 0,
            currency: session['currency'],
            capture_method: data['capture_method'],
            transfer_group: data['transfer_group'] ?? null,
            metadata: of(data, 'metadata'),
            latest_charge: null,
          });
    intent['status'] = status;
    session['payment_intent'] = intent.id;
    return intent;
  }

  /** Routes answer at once, so that nobody else asks meanwhile. */
  function askedBy<T>(account: string, work: () => T): T {
    const own = asking;
    asking = account;
    try {
      return work();
    } finally {
      asking = own;
    }
  }

  function expandAll(body: unknown, paths: readonly string[]): unknown {
    const copy = structuredClone(body);
    for (const path of paths) {
      let parent = copy as Record<string, unknown>;
      for (const name of path.split('.')) {
        const value = parent[name];
        if (typeof value === 'string' && objects.has(value)) parent[name] = structuredClone(objects.get(value));
        if (typeof parent[name] !== 'object' || parent[name] === null) break;
        parent = parent[name] as Record<string, unknown>;
      }
    }
    return copy;
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((err: unknown) => {
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { type: 'api_error', message: `the double failed: ${String(err)}` } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const double = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    secretKey,
    webhookSecret,
    objects,
    done,
    requests,
    events,
    /** Another key that is taken; of test mode or of live money by its name, as Stripe's are. */
    addKey,
    /** Milliseconds that each change takes. */
    slow: 0,
    /** Of the platform, for transfers; undefined: enough. */
    balance: undefined as number | undefined,

    /** What happens to the next requests of a route, such as `POST /v1/refunds`, one each. */
    fail(route: string, ...next: Fault[]): void {
      if (!(route in routes)) throw new Error(`the double has no ${route}`);
      faults.push(...next.map((fault) => ({ route, fault })));
    },

    /** Whether letting an authorisation go makes a refund. */
    cancelingRefunds: false,

    /** The buyer's card is declined: they may try another one, until the page is over. */
    decline(checkoutId: string): Stripe.Event {
      const session = get(checkoutId, 'checkout.session');
      const intent = intentOf(session, 'requires_payment_method');
      return tell('payment_intent.payment_failed', intent);
    },

    /** Stripe ends the page, as its time is over; what was tried on it stays as it is. */
    expire(checkoutId: string): Stripe.Event {
      const session = get(checkoutId, 'checkout.session');
      Object.assign(session, { status: 'expired', url: null });
      return tell('checkout.session.expired', session);
    },

    /** Somebody captures on Stripe's own pages. */
    captureOutside(paymentId: string, amount?: number): void {
      routes['POST /v1/payment_intents/:id/capture']!(
        amount === undefined ? {} : { amount_to_capture: String(amount) },
        paymentId,
      );
    },

    /** The buyer pays on the page. */
    pay(checkoutId: string): Stripe.Event {
      const session = get(checkoutId, 'checkout.session');
      const intent = intentOf(session, 'requires_capture');
      const charge = put('ch', 'charge', {
        amount: intent['amount'],
        amount_refunded: 0,
        captured: false,
        disputed: false,
        currency: intent['currency'],
        payment_intent: intent.id,
        balance_transaction: null,
      });
      Object.assign(intent, { latest_charge: charge.id, amount_capturable: intent['amount'] });
      Object.assign(session, { status: 'complete', url: null });
      tell('payment_intent.amount_capturable_updated', intent);
      return tell('checkout.session.completed', session);
    },

    /** A refund as somebody makes it on Stripe's own pages; in the same way those that are asked for. */
    refundOutside(paymentId: string, amount: number, metadata: Fields = {}, status = 'succeeded'): Stored {
      const intent = get(paymentId);
      const charge = get(intent['latest_charge'] as string);
      charge['amount_refunded'] = (charge['amount_refunded'] as number) + amount;
      const refund = put('re', 'refund', {
        amount,
        currency: intent['currency'],
        payment_intent: paymentId,
        charge: charge.id,
        status: double.refundStatus ?? status,
        metadata,
      });
      done.push({ what: 'refund', id: refund.id });
      tell('refund.created', refund);
      tell('charge.refunded', charge);
      return refund;
    },
    /** What refunds come to be at first; default: succeeded. */
    refundStatus: undefined as string | undefined,
    endRefund(id: string, status: string): Stripe.Event {
      const refund = get(id, 'refund');
      Object.assign(refund, { status, ...(status === 'failed' ? { failure_reason: 'lost_or_stolen_card' } : {}) });
      return tell(status === 'failed' ? 'refund.failed' : 'refund.updated', refund);
    },

    dispute(
      paymentId: string,
      amount?: number,
      status = 'needs_response',
      /** In lower case; banks may take it in another than was charged. */
      taken?: string,
    ): { id: string; event: Stripe.Event } {
      const intent = get(paymentId);
      const charge = get(intent['latest_charge'] as string);
      charge['disputed'] = true;
      const currency = taken ?? (intent['currency'] as string);
      const sum = amount ?? (intent['amount'] as number);
      const dispute = put('dp', 'dispute', {
        amount: sum,
        currency,
        charge: charge.id,
        payment_intent: paymentId,
        reason: 'fraudulent',
        status,
        balance_transactions: status.startsWith('warning') ? [] : [entry(-sum, 1500, currency)],
      });
      return { id: dispute.id, event: tell('charge.dispute.created', dispute) };
    },
    /** @param back of the amount, what comes back where it is won; undefined: all of it, null: nothing yet */
    endDispute(id: string, status: 'won' | 'lost', back?: number | null): Stripe.Event {
      const dispute = get(id, 'dispute');
      dispute['status'] = status;
      if (status === 'won' && back !== null) double.reinstate(id, back);
      return tell('charge.dispute.closed', dispute);
    },
    reinstate(id: string, back?: number): Stripe.Event {
      const dispute = get(id, 'dispute');
      const sum = back ?? (dispute['amount'] as number);
      (dispute['balance_transactions'] as Stored[]).push(entry(sum, -1500, dispute['currency'] as string));
      return tell('charge.dispute.funds_reinstated', dispute);
    },

    /** An event as it comes over the wire, signed by the library's own generator. */
    signed(
      event: Stripe.Event,
      at = seconds(),
      secret = webhookSecret,
    ): { raw: string; headers: Record<string, string> } {
      // Spaces as Stripe writes them: who signs JSON that was parsed and written again gets another text.
      const raw = JSON.stringify(event, null, 2);
      const signature = Stripe.webhooks.generateTestHeaderString({ payload: raw, secret, timestamp: at });
      return { raw, headers: { 'stripe-signature': signature, 'content-type': 'application/json; charset=utf-8' } };
    },

    async close(): Promise<void> {
      for (const response of open) response.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return double;
}

function list(data: Stored[]) {
  return { object: 'list' as const, data: structuredClone(data), has_more: false };
}
function invalid(param: string): Refused {
  return new Refused(400, { type: 'invalid_request_error', param, message: `Invalid ${param}` });
}
function unexpected(intent: Stored): Refused {
  return new Refused(400, {
    type: 'invalid_request_error',
    code: 'payment_intent_unexpected_state',
    message: `This PaymentIntent has a status of ${String(intent['status'])}.`,
  });
}

function idsIn(route: string, asked: string): string[] | undefined {
  const pattern = new RegExp(`^${route.replaceAll(/:id/g, '([^/]+)')}$`);
  return pattern.exec(asked)?.slice(1);
}

/** `a[b][0][c]=d` as objects. */
function parse(params: URLSearchParams): Fields {
  const root: Fields = {};
  for (const [name, value] of params) {
    const path = name.replaceAll(']', '').split('[');
    let at = root;
    for (const part of path.slice(0, -1)) at = (at[part] ??= {}) as Fields;
    at[path.at(-1)!] = value;
  }
  return root;
}
