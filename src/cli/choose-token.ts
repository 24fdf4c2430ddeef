// Which of the configured tokens a command is about.
import { Option } from 'commander'
import type { Config, TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'

export const tokenOption = (): Option => new Option('--token <label>', 'which of hsm.tokens, where there are several')

/** The token of that label, or the only one. @throws StartError */
export function chooseToken(config: Config, label: string | undefined): TokenConfig {
  const { tokens } = config.hsm
  const [first, second] = tokens
  if (first === undefined) throw new StartError('hsm.tokens is empty: name the token that holds the domain')
  if (label === undefined) {
    if (second !== undefined) throw new StartError(`hsm.tokens names ${tokens.length} tokens: say with --token which is meant (${tokens.map(token => token.label).join(', ')})`)
    return first
  }
  const found = tokens.find(token => token.label === label)
  if (found === undefined) throw new StartError(`--token is '${label}', and hsm.tokens has ${tokens.map(token => `'${token.label}'`).join(', ')}`)
  return found
}
