import { parentPort, workerData } from 'node:worker_threads';
import { isDomainError } from '../../domain/errors.ts';
import { decodeText } from './decode-text.ts';
import { feedItems } from './feed-items.ts';
import type { FeedAnswer, FeedDocument } from './feed-parsing.ts';

const { bytes, contentType, url } = workerData as FeedDocument;
const answer = (message: FeedAnswer) => parentPort?.postMessage(message);
try {
  answer({ items: feedItems(decodeText(bytes, contentType), url) });
} catch (err) {
  if (!isDomainError(err)) throw err;
  answer({ refused: err.message });
}
