import { entry, type Located, textAt } from './located-yaml.ts';

/** YAML of other programs, in which `script`, `path` and `module` mean something else: CI, interface descriptions, playbooks, charts. */
export function isForeignYaml(document: Located): boolean {
  const has = (...names: string[]) => names.every((name) => entry(document, name) !== undefined);
  if (has('openapi') || has('swagger') || has('asyncapi')) return true;
  if ((has('on', 'jobs') || has('stages')) && !has('services')) return true;
  if (has('repos') || has('mkdocs') || has('site_name', 'nav')) return true;
  if (has('apiVersion', 'kind')) return true;
  if (has('scrape_configs') || has('AWSTemplateFormatVersion') || has('version', 'disable_existing_loggers'))
    return true;
  // A playbook: a list of plays.
  if (document.kind === 'list') {
    return document.items.some(
      (item) => textAt(item, 'hosts') !== undefined && entry(item, 'tasks', 'roles') !== undefined,
    );
  }
  return false;
}
