// A command of Trent run to its end, whatever the end.
import { execFile } from 'node:child_process'
import { mainFile } from './installation.ts'

export interface Outcome {
  readonly code: number | string | null
  readonly stdout: string
  readonly stderr: string
}

/** Standard input is no terminal and at its end. A command that has not ended after 60 seconds is killed: its code is null. */
export const command = (...words: readonly string[]): Promise<Outcome> => new Promise(resolve => {
  const child = execFile(process.execPath, [mainFile, ...words], { env: { PATH: process.env.PATH }, timeout: 60_000 }, (error, stdout, stderr) => {
    resolve({ code: error === null ? 0 : error.code ?? null, stdout, stderr })
  })
  child.stdin?.end()
})

/** How a command ends that tells an operator what is wrong: one sentence, nothing on stdout that a script could take for a result. */
export const refusal = (sentence: string, code = 1): Pick<Outcome, 'code' | 'stderr'> => ({ code, stderr: `${sentence}\n` })
