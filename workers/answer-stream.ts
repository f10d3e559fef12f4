import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { AnswerStream } from '../activities/answers.ts';
import {
  answerChannel,
  type AnswerEntry,
  answerStreamEntries,
  answerStreamKey,
  answerStreamSeconds,
} from '../domain/answer-stream.ts';

/** Pieces that come within this go as one entry: a reader's eye does not tell, and Redis has less to do. */
const gatherMs = 40;

/** Writes answers under way to Redis. What cannot be written is not shown; the answer itself does not depend on it. */
export function createAnswerStream(redis: Redis, log: Logger): AnswerStream {
  async function append(messageId: string, entry: AnswerEntry): Promise<void> {
    if (redis.status !== 'ready') return;
    const key = answerStreamKey(messageId);
    const fields = Object.entries(entry).flatMap(([field, value]) => [field, String(value)]);
    try {
      await redis
        .pipeline()
        .xadd(key, 'MAXLEN', '~', answerStreamEntries, '*', ...fields)
        .expire(key, answerStreamSeconds)
        .publish(answerChannel, messageId)
        .exec();
    } catch (err) {
      log.debug({ err }, 'answer under way not shown');
    }
  }

  return {
    begin({ messageId, attempt, machineId }) {
      let sent = 0;
      let gathered = '';
      let timer: NodeJS.Timeout | undefined;
      /** One after the other, so that pieces keep their order. */
      let last = append(messageId, { kind: 'start', attempt, machineId });

      function flush(): void {
        clearTimeout(timer);
        timer = undefined;
        if (gathered === '') return;
        const entry = { kind: 'text' as const, attempt, from: sent, text: gathered };
        sent += gathered.length;
        gathered = '';
        last = last.then(() => append(messageId, entry));
      }

      return {
        write(piece) {
          gathered += piece;
          // The first piece goes at once: it is what a person waits for.
          if (sent === 0) flush();
          else timer ??= setTimeout(flush, gatherMs);
        },
        async end() {
          flush();
          await last;
        },
      };
    },
  };
}
