// Questions to whoever sits at the terminal.
import { createInterface } from 'node:readline/promises'
import { StartError } from '../errors.ts'

/** The answer, typed in. `missing` names the option that would have held it. @throws StartError where there is no terminal */
export async function ask(question: string, missing: string): Promise<string> {
  if (!process.stdin.isTTY) throw new StartError(`${missing} is missing, and there is no terminal to ask for it`)
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await terminal.question(question)
  } finally {
    terminal.close()
  }
}
