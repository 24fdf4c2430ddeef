// Runs one command of Trent as an operator would: a process of its own, which says on stderr in one sentence why it failed.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { environment } from '../../config.ts'
import { StartError } from '../../errors.ts'
import type { DataFolder } from './data-folder.ts'

/** dist/main.js: what ./dev starts is what is installed. */
export const mainFile = fileURLToPath(new URL('../../main.js', import.meta.url))

/** What ./dev decides itself. A shell set up for another Trent must not lead it to that one's database. */
const decided = /^TRENT_(CONFIG|DATABASE_.*|DATA_DIRECTORY|LISTEN_PORT|PRIVATE_PORT|AUDIT_DIRECTORY)$/

/** Our environment for what ./dev starts, without what it decides itself. */
export function trentEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment()).filter(([name]) => !decided.test(name)))
}

/**
 * Runs `trent WORDS --config FILE`, at most two minutes, and resolves to its standard output.
 * Exit codes in `accepted` count as success. @throws StartError with the last line of its stderr.
 */
export function trent(data: DataFolder, words: readonly string[], accepted: readonly number[] = [0]): Promise<string> {
  return new Promise((resolve, reject) => {
    const parameters = [mainFile, ...words, '--config', data.config]
    execFile(process.execPath, parameters, { env: trentEnvironment(), cwd: '/', timeout: 120_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code
      if (typeof code === 'number' && accepted.includes(code)) resolve(stdout)
      else {
        const reason = stderr.trim().split('\n').at(-1) || `ended without a word (${String(error?.signal ?? code)})`
        reject(new StartError(`trent ${words.slice(0, 2).join(' ')}: ${reason}`))
      }
    })
  })
}
