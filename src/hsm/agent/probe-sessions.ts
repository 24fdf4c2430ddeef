// How many sessions a token gives to one process, and what it tells of its memory.
import pkcs11 from 'pkcs11js'
import { ckrName } from './ckr.ts'
import { ckrOf } from './fault.ts'
import { WrongAnswer, type ProbeBench } from './probe-bench.ts'
import type { OpenToken } from './token.ts'

/** Opens as many sessions as an agent's threads will, and closes them. */
export function probeSessions(bench: ProbeBench, { p11, slot }: OpenToken, wanted: number): void {
  bench.row('sessions', [], () => {
    const opened: Buffer[] = []
    try {
      for (let i = 0; i < wanted; i++) opened.push(p11.C_OpenSession(slot.handle, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION))
    } catch (thrown) {
      throw new WrongAnswer(`${opened.length} of ${wanted}, then ${ckrName(ckrOf(thrown))}`)
    } finally {
      for (const handle of opened) p11.C_CloseSession(handle)
    }
    return `${wanted} besides the first`
  })
}
