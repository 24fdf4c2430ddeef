// `trent config`: checks a configuration, or prints all settings.
import type { Command } from 'commander'
import { settings } from '../config.ts'
import { configured, readConfig } from './configured.ts'

export const configCommand = (): Command =>
  configured('config', 'Check the configuration, or print every setting')
    .option('--markdown', 'print the table of settings as Markdown')
    .action((options: { config?: string; markdown?: true }) => {
      if (options.markdown === true) process.stdout.write(settingsMarkdown())
      else {
        readConfig(options)
        console.log('The configuration is right.')
      }
    })

interface Declared {
  readonly description: string
  readonly allowed: string
  readonly fallbackText: string
  readonly presence: 'always' | 'optional'
}

export function settingsMarkdown(): string {
  const rows = rowsOf(settings, '').map(cells => `| ${cells.join(' | ')} |`)
  return ['# Settings', '', 'Printed by `npm run docs` from `src/config.ts`; a test compares it. Each may be overridden by a variable: `listen.port` by `TRENT_LISTEN_PORT`.', '', '| Setting | Allowed | Default | |', '| --- | --- | --- | --- |', ...rows, ''].join('\n')
}

function rowsOf(node: object, path: string): string[][] {
  if (isDeclared(node)) {
    const { description, allowed, fallbackText, presence } = node
    return [[`\`${path}\``, cell(allowed), presence === 'always' ? 'must be given' : cell(fallbackText), cell(description)]]
  }
  if ('item' in node) return rowsOf(node.item as object, `${path}[]`)
  return Object.entries(node).flatMap(([key, child]) => rowsOf(child as object, path === '' ? key : `${path}.${key}`))
}

const isDeclared = (node: object): node is Declared => 'read' in node

const cell = (text: string): string => text.replaceAll('|', '\\|')
