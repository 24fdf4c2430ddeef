// `trent operations`: prints docs/operations.md from the table of operations. A change of the security contract is then a visible
// line in a diff.
import { Command } from 'commander'
import type { Operation } from '../operations/operation.ts'
import { operations } from '../operations/table.ts'

const dash = '–'

export function operationsMarkdown(): string {
  const built: string[] = []
  const refused: string[] = []
  for (const [name, entry] of operations) {
    if ('refused' in entry) refused.push(`| ${name} | ${entry.refused} |`)
    else built.push(...rowsOf(name, entry))
  }
  return [
    '# Operations', '', 'Printed by `npm run docs` from `src/operations/table.ts`; a test compares it.', '',
    '| Operation | Kind | Permission | Key | Usage | States | Alias | Other accounts | Grantable | Context | Audit parameters |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |', ...built, '',
    '## Refused', '', 'AWS has these operations; here they answer UnsupportedOperationException.', '', '| Operation | Reason |', '| --- | --- |', ...refused, '',
  ].join('\n')
}

function rowsOf(name: string, operation: Operation): string[] {
  const audit = operation.audit.join(', ') || dash
  const account = (operation.account ?? []).map(({ permission, when }) => `${permission}${when === undefined ? '' : ' (if asked for)'}`)
  const needs = Object.values(operation.needs)
  if (needs.length === 0) return [`| ${[name, operation.kind, account.join(', '), ...Array.from({ length: 7 }, () => dash), audit].join(' | ')} |`]
  return needs.map(need => {
    const key = need.key.kind === 'ciphertext' ? `${need.key.blob}, ${need.key.member}` : need.key.member
    const yes = (is: boolean): string => (is ? 'yes' : 'no')
    const states = need.states === 'any' ? 'any' : need.states.join(', ')
    return `| ${[name, operation.kind, need.permission, key, need.usage ?? dash, states, yes(need.aliases), yes(need.otherAccounts), yes(need.grantable), need.context ?? dash, audit].join(' | ')} |`
  })
}

export const operationsCommand = (): Command =>
  new Command('operations').description('Print what each operation needs, as Markdown').option('--markdown', 'the only format').action(() => {
    process.stdout.write(operationsMarkdown())
  })
