// Started by invocations.system.test.ts: agent and gateway in one process with lowered bounds of AES-GCM. argv: the configuration, the
// limits as JSON. Prints its port; SIGTERM closes it in order.
import { writeSync } from 'node:fs'
import { openDomain } from '../../dist/cli/open-domain.js'
import { loadConfig } from '../../dist/config.js'
import { openGateway } from '../../dist/gateway.js'
import { openPool } from '../../dist/store/database.js'
import { createLog } from '../../dist/telemetry/log.js'

const [, , file, limits] = process.argv
const config = loadConfig({ file, env: {} })
const log = createLog({ level: 'silent', name: 'bounded' })
const pool = openPool(config.database.url)
const domain = await openDomain(config, pool, { log: () => {}, started: () => {}, changed: () => {} })
await pool.end()
const gateway = await openGateway({ config, log, version: '0', tokens: domain.standings(), limits: JSON.parse(limits) })
process.on('SIGTERM', async () => {
  await gateway.close()
  await domain.close()
  process.exit(0)
})
writeSync(1, `${gateway.port}\n`)
