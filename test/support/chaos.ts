// A token behind the pass-through module of test/chaos: the copy of a SoftHSM token that a test file has anyway, with faults that
// the test steers while Trent runs.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildModule } from './chaos-module.ts'
import { softhsmLibrary, tokenConfig } from './installation.ts'

/** Functions are named as PKCS#11 does; '*' is every function. A name that is neither ends the process that loads the module. */
export interface Faults {
  /** The faults are for this process only. */
  readonly process?: number
  /** Microseconds before each call, and at most so many more by chance. */
  readonly latency?: Readonly<Record<string, { readonly microseconds: number; readonly jitter?: number }>>
  /** One call at a time, as over one connection. */
  readonly serial?: boolean
  /** Answers this CKR instead of asking the token: always, or with this probability, or at most so many times in each process. */
  readonly fail?: Readonly<Record<string, { readonly ckr: number; readonly probability?: number; readonly times?: number }>>
  /** Does not return before the faults are changed. */
  readonly hang?: readonly string[]
  readonly abort?: readonly string[]
  /** A token that breaks the rules: zeroes for random bytes and MACs; CKR_OK and zeroes for a ciphertext that the token refuses. */
  readonly wrong?: readonly ('C_GenerateRandom' | 'C_Sign' | 'C_Decrypt')[]
  /** Every call answers this CKR, in processes that run now, until they have called C_Initialize anew. */
  readonly dead?: number
  /** Most sessions that a process may have open: then CKR_SESSION_COUNT. */
  readonly sessions?: number
  /** Most objects that a process may have made and not destroyed: then CKR_DEVICE_MEMORY. */
  readonly objects?: number
  /** cloudhsm: a zero IV in, the module writes the IV into pIv, and wraps by CloudHSM's own mechanism. luna: no IV in, the module appends it to the output. */
  readonly iv?: 'cloudhsm' | 'luna'
  /** Lists the first slot twice: two tokens of one label and serial number. */
  readonly twin?: boolean
  /** Answers this CKR to a C_Login that the token has refused. */
  readonly loginAnswers?: number
  /** Ends each process whose C_Login the token has just answered. */
  readonly loginDies?: boolean
  /** Bits of CK_TOKEN_INFO that the token says, or does not, whatever the real one says. */
  readonly flags?: { readonly set?: number; readonly cleared?: number }
}

export interface ChaosToken {
  /** For `hsm.tokens` of startTrent, and for an AgentSupervisor. */
  readonly token: Omit<ReturnType<typeof tokenConfig>, 'env'> & { readonly env: Readonly<Record<string, string>> }
  /** Replaces all faults by these, from each process's next call on. */
  control(faults: Faults): void
  /** No faults, calls that hang go on. A process that is dead stays so until it initialises. */
  clear(): void
  /** Process and function of each call that has begun to hang since the last control(): `4711 C_Encrypt`. */
  hanging(): string[]
  /** Process id and user of each C_Login ever called on this token, by whatever process: `4711 user`. */
  logins(): string[]
}

/** The token of `directory` (see writeTokenFiles) through the module, or another real module. */
export async function chaosToken(directory: string, realModule = softhsmLibrary): Promise<ChaosToken> {
  const library = await buildModule()
  const file = join(directory, 'chaos')
  const control = (faults: Faults): void => {
    // By rename: a call sees the former faults or these, never half a file.
    writeFileSync(`${file}.new`, lines(faults).map(line => `${line}\n`).join(''))
    rmSync(`${file}.hanging`, { force: true })
    renameSync(`${file}.new`, file)
  }
  control({})
  const token = tokenConfig(directory)
  return {
    token: { ...token, library, env: { ...token.env, TRENT_CHAOS_MODULE: realModule, TRENT_CHAOS_CONTROL: file } },
    control, clear: () => { control({}) },
    hanging: () => linesOf(`${file}.hanging`), logins: () => linesOf(`${file}.logins`),
  }
}

const linesOf = (file: string): string[] => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [])

let deaths = Date.now()

function lines(faults: Faults): string[] {
  const { process: pid, latency = {}, serial = false, fail = {}, hang = [], abort = [], wrong = [], dead, sessions, objects, iv, flags, loginDies = false, twin = false, loginAnswers } = faults
  return [
    ...(pid === undefined ? [] : [`process ${pid}`]),
    ...Object.entries(latency).map(([name, { microseconds, jitter = 0 }]) => `latency ${name} ${microseconds} ${jitter}`),
    ...Object.entries(fail).map(([name, { ckr, probability = 1, times = 0 }]) => `fail ${name} ${ckr} ${probability} ${times}`),
    ...hang.map(name => `hang ${name}`),
    ...abort.map(name => `abort ${name}`),
    ...wrong.map(name => `wrong ${name}`),
    ...(serial ? ['serial'] : []),
    ...(dead === undefined ? [] : [`dead ${dead} ${++deaths}`]),
    ...(sessions === undefined ? [] : [`sessions ${sessions}`]),
    ...(objects === undefined ? [] : [`objects ${objects}`]),
    ...(iv === undefined ? [] : [`iv ${iv}`]),
    ...(loginAnswers === undefined ? [] : [`login-answers ${loginAnswers}`]),
    ...(twin ? ['twin'] : []),
    ...(loginDies ? ['login-dies'] : []),
    ...(flags === undefined ? [] : [`flags ${flags.set ?? 0} ${flags.cleared ?? 0}`]),
  ]
}
