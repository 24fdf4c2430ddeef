// What a probe found, without what differs from one run or machine to the next.
import type { ProbeReport } from '../../src/hsm/agent/control.ts'

/** Times, serial numbers, versions, and figures that the token tells of this moment. */
export function lasting(report: ProbeReport): ProbeReport {
  return {
    ...report, serial: '', library: '', firmware: '', usage: undefined, capabilities: report.capabilities.map(capability => ({ ...capability, milliseconds: 0 })),
  }
}
