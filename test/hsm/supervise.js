// Started by supervisor.system.test.ts, to be killed: a supervisor with an agent, as the primary has it. argv: the supervisor's
// options as JSON.
import { AgentSupervisor } from '../../dist/hsm/supervisor.js'

const { pin, ...options } = JSON.parse(process.argv[2])
const logins = {
  ask: async () => ({ pin, inSpiteOf: 'usual', deadline: performance.now() + 30_000, end: async () => undefined }),
  settled: async () => undefined,
}
const supervisor = new AgentSupervisor({ ...options, logins, changed: () => undefined, started: () => undefined, log: (...said) => console.error(...said) })
await supervisor.start()
console.log('serving')
