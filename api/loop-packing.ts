import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import type { Fleet } from '../domain/fleet.ts';
import type { LoopChoice } from '../domain/loop-choice.ts';
import { type LoopSigner, openLoop, signLoop, type UnsignedLoop } from '../domain/loop-packages.ts';
import type { Database } from '../stores/database.ts';
import type { AgentDetail } from '../stores/queries/agents.ts';
import { memoryBytes, personaWriter, readLoopRows } from '../stores/queries/loop-memories.ts';
import { installOf, originModels } from '../stores/queries/loop-packages.ts';
import { hostCrypto } from '../config/host-crypto.ts';
import type { ChosenLoop } from './loop-choosing.ts';
import { chooseInThread } from './loop-threads.ts';

/** All memories of an agent are judged together, and what is private among them by every five words in a row. */
const mostTextBytes = 12 * 1024 * 1024;

export interface Packing {
  ownerId: string;
  agent: AgentDetail;
  fleet: Fleet;
  choice: LoopChoice;
}

/**
 * What a package of this agent holds as things stand, read in one look.
 * @throws INVALID_INPUT where more was chosen than a package takes, or the persona says what is private
 */
export async function packLoop(db: Database, { ownerId, agent, fleet, choice }: Packing): Promise<ChosenLoop> {
  const whose = { ownerId, agentId: agent.id };
  return chooseInThread((tell) =>
    db
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (tx) => {
        const bytes = await memoryBytes(tx, whose);
        if (bytes > mostTextBytes) {
          const rule = `must hold ${mostTextBytes} bytes at most; they hold ${bytes}`;
          throw fieldError('memories', rule, 'Lower `memoriesPerAgent` of fleet.yaml, or pack another agent.');
        }
        await readLoopRows(tx, whose, tell);
        const origin = await installOf(tx, ownerId, agent.id);
        return {
          agent,
          fleet,
          choice,
          origin: origin && { contentHash: origin.contentHash, keyId: origin.keyId },
          said: await originModels(tx, whose),
          writer: await personaWriter(tx, whose),
        };
      }),
  );
}

/**
 * The signed package, opened as whoever installs it would; what is in it was read back when it was put together.
 * @throws INTERNAL: it would be a fault of ours
 */
export async function signReadable(loop: UnsignedLoop, signer: LoopSigner): Promise<ReturnType<typeof signLoop>> {
  const signed = signLoop(loop, signer);
  const pieces = (async function* () {
    yield signed.archive;
  })();
  try {
    await openLoop(pieces, { checks: hostCrypto, isPinned: () => true });
  } catch (cause) {
    throw new DomainError('INTERNAL', 'the package that was made cannot be opened', { cause });
  }
  return signed;
}
