// With every fault off nobody can tell that the pass-through module is there: what was made through it opens without it. That the same calls
// give the same results is in test/hsm/contract.system.test.ts.
import { readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { encodeContext } from '../../src/keys/context.ts'
import { chaosToken } from '../support/chaos.ts'
import { newFolder, tokenLabel, trent, writeConfig, writeTokenFiles } from '../support/installation.ts'
import { freshDatabase } from '../support/postgres.ts'
import { agentOf, newPlan, openToken, type TestToken } from '../support/token.ts'

const context = encodeContext(new Map([['tenant', 'blue']]))
const hello = (): Buffer => Buffer.from('hello')

let directory: string
let through: TestToken
let direct: TestToken

beforeAll(async () => {
  directory = await newFolder('transparent')
  await writeTokenFiles(directory, inject('installation').directory)
  const { token } = await chaosToken(directory)
  through = await openToken({ token: { serial: undefined, libraryParameters: undefined, ...token } })
  direct = await openToken()
})
afterAll(async () => {
  await through.remove()
  await direct.remove()
  await rm(directory, { recursive: true, force: true })
})

it('the agent finds the same token, domain and protection of keys', () => {
  const lasting = ({ ready }: TestToken) => ({ ...ready, library: '', capabilities: ready.capabilities.map(one => ({ ...one, milliseconds: 0 })) })
  expect(lasting(through)).toEqual(lasting(direct))
  expect(through.ready.templateEnforced).toBe(true)
})

it('the agent has the module between itself and the token', async () => {
  const { library } = (await chaosToken(directory)).token
  expect(await readFile(`/proc/${agentOf(directory)}/maps`, 'utf8')).toContain(basename(library))
})

it('a wrapped key made through the module serves without it, and the other way round', async () => {
  for (const [one, another] of [[through, direct], [direct, through]] as const) {
    const key = await one.client.create(newPlan(), false)
    const blob = await one.client.encrypt(key, context, hello())
    expect((await another.client.decrypt(key, context, blob)).toString()).toBe('hello')
  }
})

it('credentials are sealed and opened across, and broken seals are refused', async () => {
  const aad = Buffer.from('owner')
  const { sealKey } = through.domain
  const sealed = await through.client.seal(sealKey, aad, Buffer.from('secret'))
  expect((await direct.client.unseal(sealKey, aad, sealed)).toString()).toBe('secret')
  await expect(through.client.unseal(sealKey, Buffer.from('thief'), sealed)).rejects.toMatchObject({ name: 'SealBroken' })
})

it('a token is initialised and a domain made through the module', async () => {
  const folder = await newFolder('ceremony')
  const database = await freshDatabase()
  try {
    await writeTokenFiles(folder)
    const { token } = await chaosToken(folder)
    const config = await writeConfig(folder, database.url, { hsm: { tokens: [token] } })
    const soPin = join(inject('installation').directory, 'so-pin')
    await trent(['hsm', 'init-token', '--label', tokenLabel, '--so-pin-file', soPin, '--config', config])
    const { stdout } = await trent(['hsm', 'init', '--no-recovery', '--config', config])
    expect(stdout).toMatch(/[0-9a-f]{64}/)
  } finally {
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  }
})
