// Which kinds of tokens make Ed25519ph: known of the kind, since a token that ignores the flag answers with a signature all the same.
import type { TokenConfig } from '../config.ts'
import { profiles } from './agent/profile.ts'

export const makesEd25519ph = ({ profile }: Pick<TokenConfig, 'profile'>): boolean => profiles.get(profile)?.ed25519Prehash === true
