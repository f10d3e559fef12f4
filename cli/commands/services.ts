import type { Command } from 'commander';
import { serviceTokenCommand } from './service-tokens.ts';

export function serviceCommands(program: Command): void {
  const services = program.command('services').description('processes of yours that joined the fleet');
  serviceTokenCommand(services);
}
