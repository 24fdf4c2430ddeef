// An hsm-agent with its supervisor and nothing else. argv: the configuration. Prints where the agent listens, as JSON, at each
// change; ends when its stdin does.
import { writeSync } from 'node:fs'
import { openDomain } from '../../dist/cli/open-domain.js'
import { loadConfig } from '../../dist/config.js'
import { openPool } from '../../dist/store/database.js'

const config = loadConfig({ file: process.argv[2], env: {} })
const pool = openPool(config.database.url)
const domain = await openDomain(config, pool, {
  log: () => {}, started: () => {}, changed: ([{ address }]) => { if (address !== null) writeSync(1, `${JSON.stringify(address)}\n`) },
})
process.stdin.resume().on('end', async () => {
  await domain.close()
  await pool.end()
})
