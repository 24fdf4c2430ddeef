// `trent migrate`: brings the schema up to date.
import type { Command } from 'commander'
import { migrate } from '../store/migrations.ts'
import { configured, readConfig } from './configured.ts'

export const migrateCommand = (): Command =>
  configured('migrate', 'Bring the database schema up to date').action(async (options: { config?: string }) => {
    const done = await migrate(readConfig(options).database.url)
    console.log(done.length === 0 ? 'The schema is up to date.' : done.join('\n'))
  })
