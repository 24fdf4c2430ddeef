// The table of hsm/capabilities/ against the token of this run.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ProbeReport } from '../../src/hsm/agent/control.ts'
import { trent } from '../support/installation.ts'
import { openKryoptic, type OtherToken } from '../support/other-token.ts'
import { lasting } from '../support/probe.ts'

let kryoptic: OtherToken
beforeAll(async () => { kryoptic = await openKryoptic() })
afterAll(() => kryoptic.close())

it('Kryoptic is as its table says', async () => {
  const report = JSON.parse((await trent(['hsm', 'probe', '--json', '--config', kryoptic.config])).stdout) as ProbeReport
  const stored = JSON.parse(readFileSync(join(import.meta.dirname, '../../hsm/capabilities/kryoptic.json'), 'utf8')) as ProbeReport
  expect(lasting(report)).toEqual(lasting(stored))
})
