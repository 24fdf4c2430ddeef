// A StartError whose exit code scripts tell apart from the others.
import { StartError } from '../errors.ts'

export class ExitCode extends StartError {
  readonly exitCode: number

  constructor(exitCode: number, message: string) {
    super(message)
    this.exitCode = exitCode
  }
}

/** What the command was to make is there already. */
export const alreadyDone = 3
