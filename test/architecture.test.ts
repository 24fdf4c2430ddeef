import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { medianLength, violations, type Files } from './support/architecture.ts'

function readSource(): Files {
  const root = new URL('../src/', import.meta.url).pathname
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]))
}

const house = (files: Record<string, string>) => violations(new Map(Object.entries(files)))

describe('src', () => {
  it('is built to plan', () => {
    const files = readSource()
    expect(files.size).toBeGreaterThan(10)
    expect(violations(files)).toEqual([])
  })

  it('has short files', () => {
    expect(medianLength(readSource())).toBeLessThan(130)
  })

  it('imports at run time only what is installed at run time', () => {
    const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { dependencies: object }
    const allowed = new Set(Object.keys(manifest.dependencies))
    const stray = [...readSource()].flatMap(([path, text]) =>
      [...text.matchAll(/^import (?!type )[^'\n]*'([^.'][^']*)'/gm)]
        .map(([, name = '']) => name)
        .filter((name) => !name.startsWith('node:') && !allowed.has(name))
        .map((name) => `${path}: ${name}`),
    )
    expect(stray).toEqual([])
  })
})

describe('the checker', () => {
  it('finds nothing wrong with a house that follows the plan', () => {
    expect(
      house({
        'main.ts': "import { serve } from './cli/serve.ts'",
        'cli/serve.ts': "import type { A } from './dev/a.ts'\nimport { config } from '../config.ts'",
        'cli/dev/a.ts': "const { KMSClient } = await import('@aws-sdk/client-kms')",
        'config.ts': "import { E } from './errors.ts'\nexport const e = process.env",
        'errors.ts': '',
        'operations/table.ts': "import type * as sdk from '@aws-sdk/client-kms'",
        'store/keys.ts': "import pg from 'pg'\nexport const q = 'select id from key'",
        'hsm/agent/main.ts': "import p from 'pkcs11js'\nimport { f } from './frame.ts'\nimport { k } from '../../keys/key.ts'",
        'hsm/agent/frame.ts': '',
        'hsm/client.ts': "import { f } from './agent/frame.ts'\nimport type { M } from './agent/main.ts'",
        'keys/key.ts': '',
        'http/app.ts': "import express from 'express'",
      }),
    ).toEqual([])
  })

  interface Fault {
    readonly name: string
    readonly file: string
    readonly text: string
    readonly other?: string
    readonly sentence: string
  }
  it.each<Fault>([
    {
      name: 'an import uphill',
      file: 'keys/a.ts',
      text: "import '../http/b.ts'",
      other: 'http/b.ts',
      sentence: 'imports http/b.ts: uphill',
    },
    {
      name: 'a type imported uphill',
      file: 'keys/a.ts',
      text: "import type { B } from '../http/b.ts'",
      other: 'http/b.ts',
      sentence: 'imports http/b.ts: uphill',
    },
    {
      name: 'a type query uphill',
      file: 'keys/a.ts',
      text: "type B = import('../http/b.ts').B",
      other: 'http/b.ts',
      sentence: 'imports http/b.ts: uphill',
    },
    {
      name: 'a dynamic import uphill',
      file: 'keys/a.ts',
      text: "await import('../http/b.ts')",
      other: 'http/b.ts',
      sentence: 'imports http/b.ts: uphill',
    },
    {
      name: 'a re-export uphill',
      file: 'keys/a.ts',
      text: "export * from '../http/b.ts'",
      other: 'http/b.ts',
      sentence: 'imports http/b.ts: uphill',
    },
    {
      name: 'a root file imported uphill',
      file: 'config.ts',
      text: "import './gateway.ts'",
      other: 'gateway.ts',
      sentence: 'imports gateway.ts: uphill',
    },
    {
      name: 'a neighbour',
      file: 'iam/a.ts',
      text: "import '../sts/b.ts'",
      other: 'sts/b.ts',
      sentence: 'imports sts/b.ts: sideways',
    },
    {
      name: 'an agent that reads the configuration',
      file: 'hsm/agent/a.ts',
      text: "import '../../config.ts'",
      other: 'config.ts',
      sentence: 'imports config.ts: not for the agent',
    },
    {
      name: 'an agent that knows its client',
      file: 'hsm/agent/a.ts',
      text: "import '../client.ts'",
      other: 'hsm/client.ts',
      sentence: 'imports hsm/client.ts: not for the agent',
    },
    {
      name: 'an import of nothing',
      file: 'keys/a.ts',
      text: "import './b.ts'",
      sentence: 'imports keys/b.ts, which is not there',
    },
    {
      name: 'a file without a floor',
      file: 'stuff/a.ts',
      text: '',
      sentence: 'is on no floor of the house',
    },
    {
      name: 'a name that says nothing',
      file: 'keys/key-utils.ts',
      text: '',
      sentence: 'has a name that says nothing',
    },
    {
      name: 'a barrel',
      file: 'keys/index.ts',
      text: '',
      sentence: 'has a name that says nothing',
    },
    {
      name: 'Express in the pipeline',
      file: 'pipeline/a.ts',
      text: "import express from 'express'",
      sentence: 'imports express: only for http/',
    },
    {
      name: 'a type of pg in the cache',
      file: 'cache/a.ts',
      text: "import type { Pool } from 'pg'",
      sentence: 'imports pg: only for store/',
    },
    {
      name: 'a file deep in a package',
      file: 'cache/a.ts',
      text: "import x from 'pg/lib/x.js'",
      sentence: 'imports pg/lib/x.js: only for store/',
    },
    {
      name: 'koffi beside the agent',
      file: 'hsm/a.ts',
      text: "import type k from 'koffi'",
      sentence: 'imports koffi: only for hsm/agent/',
    },
    {
      name: 'the AWS SDK in an operation',
      file: 'operations/a.ts',
      text: "import { K } from '@aws-sdk/client-kms'",
      sentence: 'imports @aws-sdk/client-kms: only for cli/dev/',
    },
    {
      name: 'the environment',
      file: 'cli/a.ts',
      text: 'const x = process.env.HOME',
      sentence: 'reads the environment: only for config.ts',
    },
    {
      name: 'the environment by another name',
      file: 'cli/a.ts',
      text: "import { env } from 'node:process'",
      sentence: 'reads the environment: only for config.ts',
    },
    {
      name: 'the environment taken apart',
      file: 'cli/a.ts',
      text: 'const { env } = process',
      sentence: 'reads the environment: only for config.ts',
    },
    {
      name: 'SQL in an operation',
      file: 'operations/a.ts',
      text: 'db.query(`select a, b from key where id = ${id}`)',
      sentence: 'holds SQL: only for store/',
    },
    {
      name: 'SQL that writes',
      file: 'effects/a.ts',
      text: "db.query('UPDATE key SET state = $1')",
      sentence: 'holds SQL: only for store/',
    },
  ])('finds $name', ({ file, text, other, sentence }) => {
    expect(house({ [file]: text, ...(other === undefined ? {} : { [other]: '' }) })).toEqual([`${file} ${sentence}`])
  })

  it('finds a circle, be it of types alone', () => {
    const files = { 'keys/a.ts': "import './b.ts'", 'keys/b.ts': "import './c.ts'", 'keys/c.ts': "import type { A } from './a.ts'" }
    expect(house(files)).toEqual(['circle: keys/a.ts ⇄ keys/b.ts ⇄ keys/c.ts'])
  })

  it('finds a way from the gateway to a vendor library', () => {
    const files = { 'hsm/client.ts': "import './agent/a.ts'", 'hsm/agent/a.ts': "import './b.ts'", 'hsm/agent/b.ts': "import 'pkcs11js'" }
    expect(house(files)).toEqual(['hsm/client.ts loads a PKCS#11 binding, by way of hsm/agent/'])
  })

  const prose = ['Select one of the keys', 'The selection from above', 'Update of the alias', 'Listen to me now']
  it.each(prose)('takes no prose for SQL: %s', (text) => {
    expect(house({ 'http/a.ts': `const text = '${text}'` })).toEqual([])
  })

  it('takes the middle of the lengths', () => {
    const lines = (count: number) => 'x\n'.repeat(count)
    expect(medianLength(new Map([['a', lines(10)], ['b', lines(300)], ['c', lines(20)]]))).toBe(20)
  })
})
