// The tables of hsm/capabilities/ against the tokens of this run.
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, inject, it } from 'vitest'
import { probeMarkdown } from '../../src/cli/probe.ts'
import { capabilityTitles, type CapabilityName } from '../../src/hsm/agent/capability.ts'
import type { ProbeReport } from '../../src/hsm/agent/control.ts'
import { newFolder, tokenConfig, trent, writeConfig, writeTokenFiles } from '../support/installation.ts'
import { nssConfig, writeNssFiles } from '../support/nss.ts'
import { freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { lasting } from '../support/probe.ts'
import { poke } from '../support/token.ts'

/** Knows of no latch. */
let database: TestDatabase
beforeAll(async () => { database = await freshDatabase() })
afterAll(() => database.drop())
const stored = (file: string): string => readFileSync(join(import.meta.dirname, '../../hsm/capabilities', file), 'utf8')

const directories: string[] = []
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

async function folder(): Promise<string> {
  const directory = await newFolder('capabilities')
  directories.push(directory)
  return directory
}

const probe = async (config: string, ...words: string[]): Promise<ProbeReport> =>
  JSON.parse((await trent(['hsm', 'probe', '--json', '--config', config, ...words])).stdout) as ProbeReport

async function softhsm(): Promise<{ directory: string; config: string }> {
  const directory = await folder()
  await writeTokenFiles(directory, inject('installation').directory)
  return { directory, config: await writeConfig(directory, database.url, { hsm: { tokens: [tokenConfig(directory)] } }) }
}

it('SoftHSM is as its table says, and as it was before it was tried', async () => {
  const { directory, config } = await softhsm()
  // In the order in which the token finds them, which is not always the same.
  const objects = async (): Promise<string[]> => (await poke<object[]>(directory, 'objects')).map(one => JSON.stringify(one)).sort()
  const before = await objects()
  const report = await probe(config)
  expect(lasting(report)).toEqual(lasting(JSON.parse(stored('softhsm.json')) as ProbeReport))
  expect(before).toHaveLength(2)
  expect(await objects()).toEqual(before)
})

it('NSS is as its table says', async () => {
  const directory = await folder()
  const { soPinFile } = await writeNssFiles(directory)
  const config = await writeConfig(directory, database.url, { hsm: { tokens: [nssConfig(directory)] } })
  await trent(['hsm', 'init-token', '--label', nssConfig(directory).label, '--so-pin-file', soPinFile, '--config', config])
  expect(lasting(await probe(config))).toEqual(lasting(JSON.parse(stored('nss.json')) as ProbeReport))
})

it.each(['softhsm', 'nss', 'kryoptic'])('the page of %s is made from its table', name => {
  expect(stored(`${name}.md`)).toBe(probeMarkdown(JSON.parse(stored(`${name}.json`)) as ProbeReport))
})

it('a table has every capability, in order', () => {
  const names = Object.keys(capabilityTitles) as CapabilityName[]
  for (const file of ['softhsm.json', 'nss.json', 'kryoptic.json']) {
    expect((JSON.parse(stored(file)) as ProbeReport).capabilities.map(({ name }) => name)).toEqual(names)
  }
})
