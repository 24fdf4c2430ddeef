// npm run bench:oaep -- [--samples N] [--unpaddings N] [--token FOLDER] [--results FOLDER]
// How to read the results: bench/README.md.
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type * as Oaep from '../../src/hsm/agent/oaep.ts'
import type { HsmClient } from '../../src/hsm/client.ts'
import type { MadeMaterial } from '../../src/hsm/hsm.ts'
import type * as Mgf1 from '../../src/keys/mgf1.ts'
import { built } from '../built.ts'
import { startAgent } from '../hsm/agent.ts'
import { makeToken, removeToken } from '../hsm/token.ts'
import { provenance } from '../machine.ts'
import { table } from '../table.ts'
import { ciphertextOf, encoded, kinds, titles, type Hash, type Kind } from './ciphertexts.ts'
import { bound, compare, type Comparison } from './timing.ts'

const { values } = parseArgs({
  options: {
    'samples': { type: 'string', default: '20000' },
    'unpaddings': { type: 'string', default: '100000' },
    'token': { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() },
    'results': { type: 'string', default: join(import.meta.dirname, '../results') },
  },
})
const command = ['npm run bench:oaep', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
const modulusBytes = 256
/** Different inputs of one kind: one alone could be slow for its own bytes. */
const inputs = 200

const { mgf1 } = await built<typeof Mgf1>('keys/mgf1')
const { unpadOaep } = await built<typeof Oaep>('hsm/agent/oaep')

/** Kinds in random order, so that whatever else the machine does meets all alike. */
async function timed(samples: number, once: (kind: Kind, input: number) => Promise<void> | void): Promise<Comparison[]> {
  const times = new Map<string, number[]>(kinds.map(kind => [kind, []]))
  const warm = Math.min(2_000, samples)
  for (let sample = -warm; sample < samples * kinds.length; sample++) {
    const kind = kinds[randomInt(kinds.length)] ?? 'all'
    const input = randomInt(inputs)
    const began = process.hrtime.bigint()
    await once(kind, input)
    const took = Number(process.hrtime.bigint() - began) / 1_000
    if (sample >= 0) times.get(kind)?.push(took)
  }
  return compare(times)
}

async function throughTheAgent(client: HsmClient, made: MadeMaterial, hash: Hash): Promise<Comparison[]> {
  const { key } = await client.publicKey(made, made.spki ?? Buffer.alloc(0))
  const algorithm = hash === 'sha1' ? 'RSAES_OAEP_SHA_1' : 'RSAES_OAEP_SHA_256'
  await client.decryptRsa(made, algorithm, ciphertextOf(key, modulusBytes, hash, undefined, mgf1))
  const pool = new Map(kinds.map(kind => [kind, Array.from({ length: inputs }, () => ciphertextOf(key, modulusBytes, hash, kind, mgf1))]))
  return await timed(Number(values.samples), async (kind, input) => {
    try {
      await client.decryptRsa(made, algorithm, Buffer.from(pool.get(kind)?.[input] ?? []))
    } catch (thrown) {
      if (thrown instanceof Error && 'code' in thrown && thrown.code === 'InvalidCiphertextException') return
      throw thrown
    }
    throw new Error(`${kind} was opened`)
  })
}

async function unpadding(): Promise<Comparison[]> {
  // Side by side in one piece of memory: how far those of a kind lie apart would otherwise show, by what the caches hold.
  const memory = Buffer.alloc(kinds.length * inputs * modulusBytes)
  const place = (kind: Kind, input: number): Buffer => memory.subarray((input * kinds.length + kinds.indexOf(kind)) * modulusBytes).subarray(0, modulusBytes)
  for (const kind of kinds) for (let input = 0; input < inputs; input++) encoded(modulusBytes, 'sha256', kind, mgf1).copy(place(kind, input))
  const pool = new Map(kinds.map(kind => [kind, Array.from({ length: inputs }, (_, input) => place(kind, input))]))
  unpadOaep('sha256', encoded(modulusBytes, 'sha256', undefined, mgf1))
  return await timed(Number(values.unpaddings), (kind, input) => {
    try {
      unpadOaep('sha256', pool.get(kind)?.[input] ?? Buffer.alloc(0))
    } catch (thrown) {
      if (thrown instanceof Error && 'code' in thrown && thrown.code === 'InvalidCiphertextException') return
      throw thrown
    }
    throw new Error(`${kind} was opened`)
  })
}

const section = (title: string, comparisons: readonly Comparison[]): string => `## ${title}\n\n${table(
  ['what is wrong', 'measured', 'median, µs', 't against the others'],
  comparisons.map(({ kind, count, median, t }) => [titles[kind as Kind], count.toLocaleString('en'), median.toFixed(1), t.toFixed(1)]))}\n`

async function run(): Promise<string> {
  const token = await makeToken(values.token)
  try {
    const agent = await startAgent(token, 1)
    try {
      const made = await agent.client.create({
        accountId: '111122223333', region: 'onprem-1', keyId: randomUUID(), materialId: randomBytes(32), backing: 1, origin: 'AWS_KMS', spec: 'RSA_2048',
        usage: 'ENCRYPT_DECRYPT', cipherMode: 'none', residency: 'wrapped', ckaId: Buffer.alloc(16),
      }, false)
      const sections = [
        section('SHA-256: the token decrypts, the agent unpads', await throughTheAgent(agent.client, made, 'sha256')),
        section('SHA-1: the token does both', await throughTheAgent(agent.client, made, 'sha1')),
        section('The agent\'s unpadding alone', await unpadding()),
      ]
      const { machine, node, date, commit } = provenance(command, 'agent and client on the same cores')
      return [
        '# How long a wrong OAEP ciphertext takes, by what is wrong\n', `- ${machine}\n- Node ${node}, commit ${commit}, ${date}\n- SoftHSM, RSA-2048; \`${command}\`\n`,
        `Beyond ${bound} in either direction the kind could be told from the others by the clock; how it is measured: [bench/README.md](../README.md#wrong-oaep-ciphertexts).\n`, ...sections,
      ].join('\n')
    } finally {
      await agent.stop()
    }
  } finally {
    removeToken(token)
  }
}

const text = await run()
mkdirSync(values.results, { recursive: true })
writeFileSync(join(values.results, 'oaep.md'), text)
process.stdout.write(`${text}\n`)
