import { chmodSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { loadConfig, readSecretFile, settings } from '../src/config.ts'
import { StartError } from '../src/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'trent-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const database = 'database: { url: "postgres://trent@localhost/trent" }\n'
let files = 0
function written(content: string, mode = 0o600): string {
  const path = join(folder, `${++files}`)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}
const load = (yaml: string, env: Record<string, string> = {}) => loadConfig({ file: written(yaml), env })

/** The one sentence that a command stops with. */
function refusal(attempt: () => unknown): string {
  try {
    attempt()
  } catch (error) {
    expect(error).toBeInstanceOf(StartError)
    const { message } = error as StartError
    expect(message).not.toContain('\n')
    return message
  }
  throw new Error('nothing was refused')
}

const token = (more = '') => `${database}hsm:\n  tokens:\n    - { label: a, library: /usr/lib/p11.so, pinFile: /run/pin${more} }\n`

describe('defaults', () => {
  it('fills whatever the file leaves out', () => {
    expect(load(database)).toEqual({
      region: 'onprem-1',
      dataDirectory: '/var/lib/trent',
      listen: { host: '127.0.0.1', port: 8470 },
      private: { host: '127.0.0.1', port: 8471 },
      database: { url: 'postgres://trent@localhost/trent', poolSize: 10 },
      gateway: { processes: 1 },
      http: { bodyLimitBytes: 1_048_576, maxConnections: 10_000 },
      hsm: { domainFingerprint: undefined, allowWeakToken: false, tokens: [] },
      keys: { residency: 'wrapped', cipherMode: 'direct', verifySignatures: false, quota: 100_000 },
      attestation: { rootsFile: undefined, maxAgeSeconds: 300 },
      cache: { maxStaleSeconds: 60 },
      audit: { directory: '/var/lib/trent/journal', segmentBytes: 16_777_216, segments: 8 },
      log: { level: 'info' },
    })
  })

  it('puts the journal below a data directory that was moved', () => {
    expect(load(`${database}dataDirectory: /srv/kms`).audit.directory).toBe('/srv/kms/journal')
  })

  it('needs no file at all', () => {
    expect(loadConfig({ env: { TRENT_DATABASE_URL: 'postgres://localhost/trent' } }).region).toBe('onprem-1')
  })

  it('reads a token with its own variables', () => {
    const config = load(token(', profile: softhsm, workers: 4, env: { SOFTHSM2_CONF: /etc/softhsm2.conf }'))
    expect(config.hsm.tokens).toEqual([
      {
        label: 'a',
        serial: undefined,
        library: '/usr/lib/p11.so',
        libraryParameters: undefined,
        profile: 'softhsm',
        pinFile: '/run/pin',
        env: { SOFTHSM2_CONF: '/etc/softhsm2.conf' },
        pinVersion: 1,
        workers: 4,
      },
    ])
  })

  it('is frozen all the way down', () => {
    const config = load(token())
    const parts: unknown[] = [config, ...Object.values(config), config.hsm.tokens[0], config.hsm.tokens[0]?.env]
    for (const part of parts) expect(Object.isFrozen(part)).toBe(true)
  })
})

describe('bounds', () => {
  const integers = Object.entries({
    'listen.port': [0, 65_535],
    'private.port': [0, 65_535],
    'database.poolSize': [1, 100],
    'keys.quota': [1, 100_000_000],
    'gateway.processes': [1, 64],
    'http.bodyLimitBytes': [65_536, 16_777_216],
    'http.maxConnections': [1, 1_000_000],
    'cache.maxStaleSeconds': [0, 3_600],
    'audit.segmentBytes': [1_048_576, 1_073_741_824],
    'audit.segments': [2, 1_024],
  } as Record<string, [number, number]>)
  const variable = (path: string) => `TRENT_${path.replace('.', '_').replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase()}`

  it.each(integers)('%s admits its bounds and refuses what lies beyond', (path, [least, most]) => {
    const name = variable(path)
    const [group = '', key = ''] = path.split('.')
    for (const bound of [least, most]) {
      const config = load(database, { [name]: String(bound) }) as unknown as Record<string, Record<string, unknown>>
      expect(config[group]?.[key]).toBe(bound)
    }
    for (const beyond of [String(least - 1), String(most + 1), '1.5', '', '0x10', ' 70000', '1e4']) {
      const message = refusal(() => load(database, { [name]: beyond }))
      expect(message).toContain(`${name} (${path}): found ${JSON.stringify(beyond)}; allowed is a whole number of `)
      expect(message).toContain(`from ${least} to ${most}`)
    }
  })

  it.each([
    ['region: Onprem', 'region: found "Onprem"; allowed is 1 to 32 of a-z, 0-9 and -'],
    ['listen: { port: "many" }', 'listen.port: found "many"; allowed is a whole number of ports (0: any free one) from 0 to 65535'],
    ['listen: { port: [1] }', 'listen.port: found a list; allowed is a whole number of ports (0: any free one) from 0 to 65535'],
    ['listen: 8470', 'listen: found something else; allowed is a group of settings'],
    ['dataDirectory: data', 'dataDirectory: found something else; allowed is an absolute path'],
    ['keys: { residency: both }', 'keys.residency: found "both"; allowed is wrapped | resident'],
    ['log: { level: loud }', 'log.level: found "loud"; allowed is fatal | error | warn | info | debug | trace'],
    ['hsm: { domainFingerprint: ABCD }', 'hsm.domainFingerprint: found "ABCD"; allowed is 64 of 0-9 and a-f'],
    ['hsm: { tokens: { label: a } }', 'hsm.tokens: found a group; allowed is a list of up to 16'],
    ['hsm: { tokens: [{ label: a }] }', 'hsm.tokens[0].library is missing; allowed is an absolute path'],
  ])('refuses %s in one sentence', (yaml, message) => {
    expect(refusal(() => load(database + yaml))).toBe(message)
  })

  it('refuses variables of a token that are not texts', () => {
    expect(refusal(() => load(token(', env: { A: 1 }')))).toBe(
      'hsm.tokens[0].env: found something else; allowed is up to 32 variable names, each with a text',
    )
  })
})

describe('unknown settings', () => {
  it.each([
    ['regoin: a', 'regoin is not a setting of Trent'],
    ['listen: { prot: 1 }', 'listen.prot is not a setting of Trent'],
    ['__proto__: { region: a }', '__proto__ is not a setting of Trent'],
    ['constructor: 1', 'constructor is not a setting of Trent'],
  ])('%s is refused by name', (yaml, message) => {
    expect(refusal(() => load(database + yaml))).toBe(message)
  })

  it('names the token that has one', () => {
    expect(refusal(() => load(token(', pin: 1234')))).toBe('hsm.tokens[0].pin is not a setting of Trent')
  })

  it('refuses a variable that it does not know', () => {
    expect(refusal(() => load(database, { TRENT_LISTEN_PROT: '1' }))).toBe('The variable TRENT_LISTEN_PROT is not a setting of Trent')
  })

  it('refuses a variable that reaches into a list', () => {
    expect(refusal(() => load(token(), { 'TRENT_HSM_TOKENS[0]_LABEL': 'b' }))).toBe(
      'The variable TRENT_HSM_TOKENS[0]_LABEL is not a setting of Trent',
    )
  })

  it('leaves the variables alone that Kubernetes makes for a Service called trent', () => {
    const env = { TRENT_PORT: 'tcp://10.0.0.1:8470', TRENT_SERVICE_HOST: '10.0.0.1', TRENT_PORT_8470_TCP_ADDR: '10.0.0.1' }
    expect(load(database, env).listen.port).toBe(8470)
  })
})

describe('variables', () => {
  it('win over the file', () => {
    expect(load(`${database}listen: { port: 1000 }`, { TRENT_LISTEN_PORT: '2000' }).listen.port).toBe(2000)
  })

  it('spell capitals as underscores', () => {
    expect(load(database, { TRENT_HTTP_BODY_LIMIT_BYTES: '70000' }).http.bodyLimitBytes).toBe(70_000)
  })
})

describe('secrets', () => {
  const secret = 'hunter2-do-not-show'

  it('come from a file that its owner alone can read', () => {
    const path = written(`postgres://trent:${secret}@localhost/trent\n`)
    expect(load(`database: { urlFile: ${path} }`).database.url).toBe(`postgres://trent:${secret}@localhost/trent`)
    expect(load('region: a', { TRENT_DATABASE_URL_FILE: path }).database.url).toContain(secret)
  })

  it.each([0o640, 0o604, 0o660, 0o644])('are refused from a file of mode %o', (mode) => {
    const path = written(secret, mode)
    expect(refusal(() => readSecretFile(path, 'pinFile'))).toBe(`pinFile: ${path} has mode ${mode.toString(8)}; allowed is 600 or stricter`)
  })

  it.each([
    ['1234\n', '1234'],
    ['1234\r\n', '1234'],
    ['1234\n\n', '1234\n'],
    [' 1234', ' 1234'],
  ])('lose one closing line break: %j', (content, expected) => {
    expect(readSecretFile(written(content, 0o400), 'pinFile').toString()).toBe(expected)
  })

  it.each(['', '\n', '\r\n'])('may be empty where the setting says so: %j', content => {
    expect(readSecretFile(written(content), '--so-pin-file', 0)).toHaveLength(0)
  })

  it('are refused when the file is missing, empty, too long or no file', () => {
    const directory = join(folder, 'directory')
    mkdirSync(directory, { mode: 0o700 })
    expect(refusal(() => readSecretFile('/nowhere/pin', 'pinFile'))).toBe('pinFile: /nowhere/pin cannot be read (ENOENT)')
    expect(refusal(() => readSecretFile(directory, 'pinFile'))).toBe(`pinFile: ${directory} is not a regular file`)
    expect(refusal(() => readSecretFile(written(''), 'pinFile'))).toMatch(/holds 0 bytes; allowed are 1 to 65536$/)
    expect(refusal(() => readSecretFile(written('\n'), 'pinFile'))).toMatch(/is empty$/)
    expect(refusal(() => readSecretFile(written('x'.repeat(65_537)), 'pinFile'))).toMatch(/holds 65537 bytes; allowed are 1 to 65536$/)
  })

  it.each([
    `postgres://trent:${secret}@localhost/trent`,
    `postgres://trent:a/b@${secret}@localhost/trent`,
    `postgres://localhost/trent?password=${secret}`,
  ])('are refused in database.url: %s', (url) => {
    const message = 'found something else; allowed is postgres://… without a password (database.urlFile may hold one)'
    expect(refusal(() => load(`database: { url: "${url}" }`))).toBe(`database.url: ${message}`)
    expect(refusal(() => load('', { TRENT_DATABASE_URL: url }))).toBe(`TRENT_DATABASE_URL (database.url): ${message}`)
  })

  it('never stand in the error, wherever a slip puts them', () => {
    const slips = [
      () => load(`${database}hsm: { tokens: [{ label: a, library: /x, pinFile: ${secret} }] }`),
      () => load(`${database}hsm: { tokens: [{ label: a, library: /x, pinFile: /pin, env: { A: [${secret}] } }] }`),
      () => load(`database: { urlFile: ${written(secret)} }`),
      () => load(`database: { url: ${secret} }`),
      () => load(`database: "${secret}"`),
      () => load(`database: { url: ${secret}\n  : [`),
      () => load(`${database}region: [a\nb: ${secret}: c`),
    ]
    for (const slip of slips) expect(refusal(slip)).not.toContain('hunter2')
  })

  it('are refused twice over when file and URL are both given', () => {
    expect(refusal(() => load(`${database}`, { TRENT_DATABASE_URL_FILE: written('postgres://a/b') }))).toBe(
      'database.url and database.urlFile are both set; allowed is one',
    )
    expect(refusal(() => load(''))).toBe('database.urlFile is missing')
  })
})

describe('the file', () => {
  it('is named when it cannot be read or parsed, with the line', () => {
    expect(refusal(() => loadConfig({ file: '/nowhere/trent.yaml', env: {} }))).toBe(
      'The configuration /nowhere/trent.yaml cannot be read (ENOENT)',
    )
    expect(refusal(() => load('region: a\nregion: b\n'))).toMatch(/is not YAML: DUPLICATE_KEY in line 2$/)
  })

  it('cannot blow up by aliases', () => {
    const twice = (name: string) => `[*${name}, *${name}]`
    const bomb = ['a: &b0 [1, 1]', ...Array.from({ length: 20 }, (_, at) => `b${at}: &b${at + 1} ${twice(`b${at}`)}`)]
    expect(refusal(() => load(bomb.join('\n')))).toMatch(/has aliases that lead nowhere or multiply$/)
    expect(refusal(() => load('region: *nowhere'))).toMatch(/has aliases that lead nowhere or multiply$/)
  })
})

it('takes TRENT_CONFIG for the name of a file', () => {
  expect(load(database, { TRENT_CONFIG: '/etc/trent.yaml' }).region).toBe('onprem-1')
})

it('describes every setting', () => {
  const described = (node: object): boolean => {
    if ('description' in node) return typeof node.description === 'string' && node.description.length > 8
    return Object.values(node).every((child) => described(child as object))
  }
  expect(described(settings)).toBe(true)
})
