import { workflowInfo } from '@temporalio/workflow';
import { windowOf, type WorkflowType, type WorkflowWindow } from '../domain/workflow-window.ts';

/**
 * What Temporal's UI is to show of a child. Search attributes only where the parent has ours: they are known to this namespace
 * then, and a start with one that is not would hang.
 */
export function childWindow(
  type: WorkflowType,
  input: object,
): Omit<WorkflowWindow, 'typedSearchAttributes'> & Partial<WorkflowWindow> {
  const { typedSearchAttributes, ...window } = windowOf(type, [input]);
  const known = workflowInfo().typedSearchAttributes.get({ name: 'SoulfraKind', type: 'KEYWORD' }) !== undefined;
  return known ? { ...window, typedSearchAttributes } : window;
}
