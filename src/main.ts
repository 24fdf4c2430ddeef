#!/usr/bin/env node
// Entry: picks a command. What an operator got wrong ends with one sentence on stderr and exit 1; anything else with its stack.
import { Command } from 'commander'
import { configCommand } from './cli/config.ts'
import { devCommand } from './cli/dev/command.ts'
import { ExitCode } from './cli/exit-code.ts'
import { hsmCommand } from './cli/hsm.ts'
import { iamCommand } from './cli/iam.ts'
import { migrateCommand } from './cli/migrate.ts'
import { operationsCommand } from './cli/operations.ts'
import { serveCommand } from './cli/serve.ts'
import { version } from './cli/version.ts'
import { StartError } from './errors.ts'

const program = new Command('trent')
  .description('An AWS-KMS-compatible gateway to your own PKCS#11 HSMs')
  .version(version)
  .addCommand(serveCommand())
  .addCommand(devCommand())
  .addCommand(migrateCommand())
  .addCommand(hsmCommand())
  .addCommand(iamCommand())
  .addCommand(configCommand())
  .addCommand(operationsCommand())

try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof StartError) process.stderr.write(`${thrown.message}\n`)
  else process.stderr.write(`${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`)
  process.exitCode = thrown instanceof ExitCode ? thrown.exitCode : 1
}
