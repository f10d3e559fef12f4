import { type Connection, isGrpcServiceError, ServiceError } from '@temporalio/client';
import { searchAttributeNames } from '../domain/temporal-needs.ts';
import type { WorkflowWindow } from '../domain/workflow-window.ts';

/** INDEXED_VALUE_TYPE_KEYWORD of temporal.api.enums.v1. */
const keywordType = 2;
/** INVALID_ARGUMENT of gRPC. */
const invalidArgument = 3;

/**
 * Starts with what Temporal's UI is to show. Where the namespace does not know our search attributes (yet, or with another type), it
 * is started without them: a window must not stop the work.
 */
export async function withWindow<Result, Window extends Pick<WorkflowWindow, 'typedSearchAttributes'>>(
  window: Window,
  start: (
    window: Partial<Pick<Window, 'typedSearchAttributes'>> & Omit<Window, 'typedSearchAttributes'>,
  ) => Promise<Result>,
): Promise<Result> {
  try {
    return await start(window);
  } catch (err) {
    if (!isUnknownAttribute(err)) throw err;
    const { typedSearchAttributes: _unknown, ...rest } = window;
    return start(rest as Omit<Window, 'typedSearchAttributes'>);
  }
}

function isUnknownAttribute(err: unknown): boolean {
  const cause = err instanceof ServiceError ? err.cause : err;
  return isGrpcServiceError(cause) && Number(cause.code) === invalidArgument && /search attribute/i.test(cause.details);
}

/**
 * Registers what the namespace lacks of our search attributes, on whatever Temporal it is.
 * @returns what is wrong with them and its mend, where they cannot be had; workflows are then started without
 */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<string | undefined> {
  try {
    const { customAttributes: known } = await connection.operatorService.listSearchAttributes({ namespace });
    const other = searchAttributeNames.filter(
      (name) => known[name] !== undefined && Number(known[name]) !== keywordType,
    );
    if (other.length > 0)
      return `namespace ${namespace} has ${other.join(', ')} with a type that is not Keyword: remove them there, or use another namespace`;
    const missing = searchAttributeNames.filter((name) => known[name] === undefined);
    if (missing.length === 0) return undefined;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, keywordType])),
    });
    return undefined;
  } catch (err) {
    const why = err instanceof Error ? err.message : String(err);
    const names = searchAttributeNames.map((name) => `--name ${name} --type Keyword`).join(' ');
    return `search attributes could not be registered (${why}): temporal operator search-attribute create --namespace ${namespace} ${names}`;
  }
}
