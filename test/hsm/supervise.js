// Started by supervisor.system.test.ts, to be killed: a supervisor with an agent, as the primary has it. argv: the supervisor's
// options as JSON.
import { AgentSupervisor } from '../../dist/hsm/supervisor.js'

const options = JSON.parse(process.argv[2])
const supervisor = new AgentSupervisor({ ...options, changed: () => undefined, started: () => undefined, log: (...said) => console.error(...said) })
await supervisor.start()
console.log('serving')
