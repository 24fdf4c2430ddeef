// What an operator's command works on: a folder with token and configuration, and a database. One test may have several.
import { rm } from 'node:fs/promises'
import { afterEach, expect, inject } from 'vitest'
import { newFolder, writeConfig, writeTokenFiles, type ConfigChanges } from './installation.ts'
import type { TestDatabase } from './postgres.ts'
import { agentsOf } from './token.ts'

export interface Site {
  readonly directory: string
  readonly database: TestDatabase
  readonly config: string
}

export interface SiteOptions {
  /** Of the run's installation, or not yet initialised. */
  readonly token: 'none' | 'initialised'
  readonly database: TestDatabase
  readonly changes?: (directory: string) => ConfigChanges
}

/** For the top of a test file. Gives what makes a site; after each test all of them are removed, and no agent may be left on one. */
export function useSites(): (options: SiteOptions) => Promise<Site> {
  const sites: Site[] = []
  afterEach(async () => {
    for (const { directory, database } of sites.splice(0)) {
      expect(agentsOf(directory)).toEqual([])
      await database.drop()
      await rm(directory, { recursive: true, force: true })
    }
  })
  return async ({ token, database, changes = () => ({}) }) => {
    const directory = await newFolder('site')
    await writeTokenFiles(directory, token === 'none' ? undefined : inject('installation').directory)
    const made = { directory, database, config: await writeConfig(directory, database.url, changes(directory)) }
    sites.push(made)
    return made
  }
}
