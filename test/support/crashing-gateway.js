// Started by crash.system.test.ts: agent and gateway in one process, which kills itself when CreateKey comes to a step for the
// n-th time. argv: the configuration, the step, n. Prints its port.
import { writeSync } from 'node:fs'
import { openDomain } from '../../dist/cli/open-domain.js'
import { loadConfig } from '../../dist/config.js'
import { openGateway } from '../../dist/gateway.js'
import { openPool } from '../../dist/store/database.js'
import { createLog } from '../../dist/telemetry/log.js'

const [, , file, stop, times] = process.argv
let left = Number(times)
const config = loadConfig({ file, env: {} })
const log = createLog({ level: 'silent', name: 'crashing' })
const domain = await openDomain(config, openPool(config.database.url), { log: () => {}, started: () => {}, changed: () => {} })
const gateway = await openGateway({
  config, log, version: '0', tokens: domain.standings(),
  step: name => { if (name === stop && --left === 0) process.kill(process.pid, 'SIGKILL') },
})
writeSync(1, `${gateway.port}\n`)
