// The pass-through module of test/chaos as a library: what tests and bench/hsm put between Trent and a token.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const sources = join(import.meta.dirname, '../chaos')
const modules = join(import.meta.dirname, '../../node_modules')
const headers = join(modules, 'pkcs11js/includes')
const flags = ['-O2', '-shared', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror']

/** Compiles the module unless these very sources have been compiled before. Resolves to its path. */
export async function buildModule(): Promise<string> {
  const files = readdirSync(sources).filter(name => /\.[ch]$/.test(name)).sort().map(name => join(sources, name))
  const digest = createHash('sha256').update(flags.join(' '))
  for (const file of files) digest.update(readFileSync(file))
  const directory = join(modules, '.cache/trent-chaos')
  const built = join(directory, `${digest.digest('hex').slice(0, 16)}.so`)
  if (existsSync(built)) return built
  mkdirSync(directory, { recursive: true })
  // Test files run side by side: each compiles to a file of its own, the last rename wins.
  const own = `${built}.${process.pid}`
  await promisify(execFile)('cc', [...flags, '-I', headers, '-o', own, ...files.filter(name => name.endsWith('.c')), '-ldl', '-lpthread'])
  renameSync(own, built)
  return built
}
