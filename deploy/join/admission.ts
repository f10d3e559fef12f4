import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { explainIssues } from '../../domain/field-errors.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import {
  type JoinAnswer,
  joinRequestSchema,
  mostClockOffSeconds,
  type RenewAnswer,
  renewRequestSchema,
  type TrustAnswer,
} from '../../domain/joins.ts';
import type { Joined, MachineJoinStore, SignedRow } from '../../stores/machine-joins.ts';
import { trustOf } from '../tls/authority-files.ts';
import { type Authority, requestKeyHash, signRequest } from '../tls/authority.ts';
import type { Caller } from './edge.ts';
import type { MachineLogins } from './logins.ts';
import { refusalOf } from './refusals.ts';

export interface AdmissionDeps {
  joins: MachineJoinStore;
  /** All that are trusted, the oldest first; the last one signs. */
  authorities: () => readonly Authority[];
  loginsOf: (joined: Pick<Joined, 'machineId' | 'inviteId'>) => MachineLogins;
  /** Makes the logins of whoever is in work; called before a machine is told its own. */
  setLogins: () => Promise<void>;
  machine: (machineId: string) => Promise<{ fleet: string; machine: FleetMachine }>;
  servers: { namespace: string; database: string; redisDatabase: number };
  version: { app: string; workflows: string };
  onError: (err: unknown, doing: string) => void;
  now?: () => number;
  /** Of what is signed. @default 90 */
  days?: number;
}

const mostBytes = 16_384;

/** What `join.soulfra` answers: a box joins by its invitation, a machine renews by the certificate that it has. */
export function createAdmission(deps: AdmissionDeps) {
  const { joins } = deps;
  const now = deps.now ?? Date.now;

  const sign =
    (request: string) =>
    async (machineId: string): Promise<SignedRow> => {
      const authority = deps.authorities().at(-1)!;
      const signed = await signRequest(authority, machineId, request, {
        now: new Date(now()),
        ...(deps.days === undefined ? {} : { days: deps.days }),
      });
      return { ...signed, generation: authority.generation };
    };
  const trust = () => trustOf(deps.authorities());

  async function join(body: unknown): Promise<JoinAnswer> {
    const { secret, request, app, workflows, clock } = parsed(joinRequestSchema, body);
    // What the box can mend by itself is told before its invitation is used.
    const offSeconds = Math.round((clock - now()) / 1000);
    if (Math.abs(offSeconds) > mostClockOffSeconds)
      throw new DomainError(
        'CLOCK_OFF',
        `the clock of this box is ${Math.abs(offSeconds)} s ${offSeconds > 0 ? 'ahead of' : 'behind'} the fleet’s`,
      );
    if (app !== deps.version.app)
      throw new DomainError('VERSION_DIFFERS', `this box has Soulfra ${app}, the fleet has ${deps.version.app}`);
    if (workflows !== deps.version.workflows)
      throw new DomainError(
        'VERSION_DIFFERS',
        `both are Soulfra ${app}, but the workflows of this checkout are not the fleet’s`,
      );
    const joined = await joins.redeem(secret, requestKeyHash(request), sign(request));
    await deps.setLogins();
    const { fleet, machine } = await deps.machine(joined.machineId);
    const logins = deps.loginsOf(joined);
    const { namespace, database, redisDatabase } = deps.servers;
    return {
      machineId: joined.machineId,
      certificate: joined.certificate,
      notAfter: joined.notAfter,
      trust: trust(),
      fleet,
      namespace,
      database: { ...logins.postgres, name: database },
      redis: { ...logins.redis, database: redisDatabase },
      machine: {
        gpus: machine.gpus.map(({ name, vramGiB }) => ({ name, vramGiB })),
        modelServer: machine.modelServer
          ? { kind: machine.modelServer.kind, url: machine.modelServer.url ?? null }
          : null,
        coordinates: machine.roles.coordination !== undefined,
        host: machine.host ?? machine.id,
      },
    };
  }

  async function renew(body: unknown, caller: Caller): Promise<RenewAnswer> {
    const { request } = parsed(renewRequestSchema, body);
    const { serial } = caller;
    const { certificate, notAfter } = await joins.renew({ serial, keyHash: requestKeyHash(request) }, sign(request));
    return { certificate, notAfter, trust: trust() };
  }

  function trusted(signedBy: number): TrustAnswer {
    return { trust: trust(), generation: deps.authorities().at(-1)!.generation, signedBy };
  }

  async function answerOf(request: IncomingMessage, caller: Caller | undefined): Promise<object> {
    const known = () => {
      if (caller === undefined)
        throw new DomainError('CERTIFICATE_REFUSED', 'this needs a certificate of this fleet that lives');
      return caller;
    };
    switch (`${request.method} ${request.url}`) {
      case 'POST /join':
        return join(await bodyOf(request));
      case 'POST /renew':
        return renew(await bodyOf(request), known());
      case 'GET /trust': {
        const { serial } = known();
        return trusted(await joins.generationOf(serial));
      }
      default:
        throw new DomainError('NOT_FOUND', `${request.method} ${request.url}`);
    }
  }

  return {
    async answer(request: IncomingMessage, response: ServerResponse, caller: Caller | undefined): Promise<void> {
      const send = (status: number, body: object) =>
        response
          .writeHead(status, { 'content-type': 'application/json', connection: 'close' })
          .end(JSON.stringify(body));
      try {
        send(200, await answerOf(request, caller));
      } catch (err) {
        const { status, body } = refusalOf(err);
        if (body.code === 'INTERNAL') deps.onError(err, `${request.method} ${request.url}`);
        send(status, body);
      }
    },
  };
}

function parsed<Schema extends z.ZodType>(schema: Schema, body: unknown): z.infer<Schema> {
  const read = schema.safeParse(body);
  if (read.success) return read.data;
  const fields = explainIssues(read.error.issues, body, { hideValues: true });
  throw new DomainError('INVALID_INPUT', fields.map(({ path, rule }) => `${path} ${rule}`).join('; '), { fields });
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > mostBytes) throw new DomainError('BODY_TOO_LARGE', `over ${mostBytes} bytes`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new DomainError('MALFORMED_BODY', 'the body is no JSON', { cause });
  }
}
