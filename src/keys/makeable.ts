// Which keys the tokens of a deployment can make and use: measured by the agent's probe, asked by CreateKey.
import type { KeySpecName, KeyUsage } from './spec.ts'

/** A spec together with a usage: a token may sign with RSA and yet not decrypt with it. */
export type MakeableKey = `${KeySpecName}/${KeyUsage}`

/** wrapped: keys that also leave the token and come back under the domain key. resident: those that can stay on it. */
export interface MakeableKeys {
  readonly wrapped: readonly MakeableKey[]
  readonly resident: readonly MakeableKey[]
}

/** What every one of these tokens can make and use: a wrapped key must open wherever the next call goes. */
export function makeableOnEach([first, ...others]: readonly MakeableKeys[]): MakeableKeys {
  const common = (residency: keyof MakeableKeys): readonly MakeableKey[] =>
    (first?.[residency] ?? []).filter(key => others.every(token => token[residency].includes(key)))
  return { wrapped: common('wrapped'), resident: common('resident') }
}

export const isMakeable = (keys: MakeableKeys, residency: keyof MakeableKeys, spec: KeySpecName, usage: KeyUsage): boolean =>
  keys[residency].includes(`${spec}/${usage}`)
