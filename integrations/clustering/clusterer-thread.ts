import { parentPort } from 'node:worker_threads';
import { assignAgents, clusterAgents, type ClusterModel } from '../../domain/clustering.ts';
import type { ClustererAnswer, ClustererRequest } from './clusterer.ts';

const port = parentPort;
if (port === null) throw new Error('clusterer-thread.ts runs as a worker thread');
let model: ClusterModel | undefined;

port.on('message', ({ kind, agents }: ClustererRequest) => {
  let answer: ClustererAnswer;
  if (kind === 'cluster') {
    const clustered = clusterAgents(agents);
    model = clustered.model;
    // A copy: what is handed over is gone from here, and the model is needed to assign others.
    answer = { labels: clustered.labels.slice(), clusters: clustered.clusters };
  } else {
    if (!model) throw new Error('asked to assign agents before any were clustered');
    answer = { labels: assignAgents(model, agents), clusters: model.found.bornAt.length };
  }
  port.postMessage(answer, [answer.labels.buffer as ArrayBuffer]);
});
