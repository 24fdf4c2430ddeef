// Waiting for what comes when it comes.
import { setTimeout as pause } from 'node:timers/promises'

/** Asks again every 20 ms until it is so. @throws Error after the deadline, in milliseconds */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, deadline = 20_000): Promise<void> {
  const end = performance.now() + deadline
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${deadline} ms for ${what}`)
    await pause(20)
  }
}
