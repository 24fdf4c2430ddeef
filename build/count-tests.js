// The closing line of ./check, and its exit code: node build/count-tests.js REPORT EXIT-CODE FAULTS. A test that did not run has failed, and so
// has a file that could not be loaded; a run that ended badly without one failed test (a crash, an unhandled rejection) counts as one.
// FAULTS is how many of lint, types and build failed.
import { readFileSync } from 'node:fs'

const [path, exitCode, faults] = process.argv.slice(2)

export function count(report, exitCode, faults) {
  const passed = report?.numPassedTests ?? 0
  const emptyFiles = (report?.testResults ?? []).filter((file) => file.status === 'failed' && file.assertionResults.length === 0)
  const failedTests = (report?.numTotalTests ?? 0) - passed + emptyFiles.length
  const crashed = failedTests === 0 && (exitCode !== 0 || passed === 0)
  return { passed, failed: failedTests + (crashed ? 1 : 0) + faults }
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

if (path !== undefined) {
  const { passed, failed } = count(read(path), Number(exitCode), Number(faults))
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 ? 0 : 1
}
