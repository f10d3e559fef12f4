import { DefaultFailureConverter } from '@temporalio/common';

/**
 * Messages and stack traces of failures as a payload, which the codec then encodes; Temporal itself keeps "Encoded failure". Runs in
 * the sandbox of workflows and beside activities. Failures of either kind are read by every process.
 */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
