// npm run fuzz -- [--cases N] [--seed S] [--case INDEX]
// Runs the cases of a seed against a Trent of its own; without --seed a new one is taken and printed. --case runs one of them alone
// and prints its requests and answers.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const options = { cases: { type: 'string' }, seed: { type: 'string' }, case: { type: 'string' } }
const stop = text => {
  process.stderr.write(`fuzz: ${text}\n`)
  process.exit(2)
}

let values
try {
  ({ values } = parseArgs({ options }))
} catch (error) {
  stop(error.message)
}
const variables = {}
for (const [name, most] of [['cases', 2 ** 40], ['seed', 2 ** 32 - 1], ['case', 2 ** 40]]) {
  const given = values[name]
  if (given === undefined) continue
  if (!/^\d{1,13}$/.test(given) || Number(given) > most || (name === 'cases' && Number(given) === 0)) stop(`--${name}: found ${given}; allowed is a whole number up to ${most}`)
  variables[`TRENT_TEST_FUZZ_${name.toUpperCase()}`] = given
}
if (values.case !== undefined && values.seed === undefined) stop('--case needs the --seed that it is of')
const { status } = spawnSync('npx', ['vitest', 'run', '--project', 'system', '--disableConsoleIntercept=true', 'test/fuzz/fuzz.system.test.ts'], {
  stdio: 'inherit', env: { TRENT_TEST_FUZZ_CASES: '100000', ...process.env, ...variables },
})
process.exit(status ?? 1)
