// The options and resources that most commands share.
import { Command } from 'commander'
import { environment, loadConfig, type Config } from '../config.ts'
import { openPool, poolLimits, type Pool } from '../store/database.ts'
import { requireSchema } from '../store/migrations.ts'

/** A command with `--config FILE`. */
export const configured = (name: string, description: string): Command =>
  new Command(name).description(description).option('--config <file>', 'configuration file (default: TRENT_CONFIG)')

export const readConfig = (options: { config?: string }): Config =>
  loadConfig({ file: options.config ?? environment().TRENT_CONFIG, env: environment() })

/** Runs `work` with a pool whose database has this version's schema. @throws StartError */
export async function withDatabase<Result>(config: Config, work: (pool: Pool) => Promise<Result>): Promise<Result> {
  const pool = openPool(config.database.url, { ...poolLimits, connections: 2 })
  try {
    await requireSchema(pool)
    return await work(pool)
  } finally {
    await pool.end()
  }
}
