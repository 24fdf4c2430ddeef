// Loading the vendor's library, finding the token by label and serial: the agent's unhurried beginning, through
// graphene. Only the main thread of an agent comes here: C_Initialize from several threads was measured to break 5 of 30 starts.
import { existsSync } from 'node:fs'
import graphene from 'graphene-pk11'
import type { Module, Slot } from 'graphene-pk11'
import pkcs11 from 'pkcs11js'
import type { PKCS11 } from 'pkcs11js'
import type { FatalCode, TokenAddress } from './control.ts'
import { profiles, type Profile } from './profile.ts'
import { Session } from './session.ts'
import { wait } from './wait.ts'

/** What ends an agent with one sentence for the operator. */
export class Fatal extends Error {
  override readonly name = 'Fatal'
  readonly code: FatalCode

  constructor(code: FatalCode, message: string) {
    super(message)
    this.code = code
  }
}

export interface OpenToken {
  readonly p11: PKCS11
  readonly slot: Slot
  readonly profile: Profile
  readonly serial: string
  readonly model: string
}

export function profileOf(address: TokenAddress): Profile {
  const profile = profiles.get(address.profile)
  if (profile === undefined) throw new Fatal('token', `hsm.tokens.profile is '${address.profile}': known are ${[...profiles.keys()].join(', ')}`)
  return profile
}

/** Loads and initialises the library. Locking must be asked for: without it SoftHSM crashes under threads. */
export function loadLibrary(address: TokenAddress): Module {
  if (!existsSync(address.library)) throw new Fatal('library', `hsm.tokens.library: there is no file ${address.library}`)
  try {
    const module = graphene.Module.load(address.library)
    initialize(module, address)
    return module
  } catch (thrown) {
    throw new Fatal('library', `hsm.tokens.library: ${address.library} does not load as a PKCS#11 library (${reason(thrown)})`)
  }
}

function initialize(module: Module, address: TokenAddress): void {
  module.initialize({
    flags: pkcs11.CKF_OS_LOCKING_OK,
    // pkcs11js cuts off the last character of libraryParameters.
    ...(address.libraryParameters === undefined ? {} : { libraryParameters: `${address.libraryParameters} ` }),
  })
}

/** @throws Fatal when there is no token, or more than one, by that label and serial. */
export function findToken(address: TokenAddress): OpenToken {
  const profile = profileOf(address)
  const module = loadLibrary(address)
  for (let attempt = 0; ; attempt++) {
    const matches = initializedTokens(module).filter(({ label, serial }) => label === address.label && (address.serial === undefined || serial === address.serial))
    const [match] = matches
    if (match !== undefined && matches.length === 1) {
      return { p11: module.lib, slot: match.slot, profile, serial: match.serial, model: match.model }
    }
    if (matches.length > 1) {
      const tokens = `${matches.length} tokens have the label '${address.label}'`
      throw new Fatal('token', address.serial === undefined
        ? `hsm.tokens.label: ${tokens}: set hsm.tokens.serial to one of ${matches.map(found => found.serial).join(', ')}`
        : `hsm.tokens.serial: ${tokens} and the serial number ${address.serial}: ${address.library} must show one of them only`)
    }
    if (attempt >= profile.bootRetries) {
      const named = address.serial === undefined ? `label '${address.label}'` : `label '${address.label}' and serial ${address.serial}`
      throw new Fatal('token', `hsm.tokens.label: ${address.library} has no token with ${named}`)
    }
    wait(20 * (attempt + 1))
    module.finalize()
    initialize(module, address)
  }
}

export const openSession = (token: OpenToken): Session =>
  new Session(token.p11, token.p11.C_OpenSession(token.slot.handle, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION))

interface Found {
  readonly slot: Slot
  readonly label: string
  readonly serial: string
  readonly model: string
}

export function initializedTokens(module: Module): Found[] {
  const slots = module.getSlots(true)
  const found: Found[] = []
  for (let i = 0; i < slots.length; i++) {
    const slot = slots.items(i)
    try {
      const token = slot.getToken()
      if ((token.flags & pkcs11.CKF_TOKEN_INITIALIZED) === 0) continue
      found.push({ slot, label: token.label.trim(), serial: token.serialNumber.trim(), model: token.model.trim() })
    } catch {
      // A slot whose token vanishes between the two calls is not a match.
    }
  }
  return found
}

const reason = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))
