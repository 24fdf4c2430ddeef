// Logins without a latch, for tests of what comes after them: whoever asks gets the PIN.
import type { Logins } from '../../src/hsm/login.ts'
import type * as loginModule from '../../src/hsm/login.ts'

/** `LoginRefused` must be of the same build as the supervisor that hears it. */
export const freeLogins = (pin: string, { LoginRefused }: Pick<typeof loginModule, 'LoginRefused'>): Logins => ({
  ask: () => Promise.resolve({
    pin, inSpiteOf: 'usual', deadline: performance.now() + 30_000,
    end: outcome => Promise.resolve(outcome.outcome === 'refused' ? new LoginRefused('latched', `the PIN is refused (${outcome.ckr})`) : undefined),
  }),
  reopened: () => new Promise(() => undefined),
  settled: () => Promise.resolve(),
})
