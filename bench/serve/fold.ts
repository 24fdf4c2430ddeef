// A CPU profile of a gateway process, folded by step: each sample counts for the innermost frame of Trent's own code on its stack, so that
// what node or a package does for a step is the step's.

export interface CallFrame {
  readonly functionName: string
  readonly url: string
}

export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame; readonly children?: readonly number[] }[]
  /** Microseconds of the monotonic clock, as process.hrtime() shows it. */
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Steps of serve.ts in its order, by the files below dist/ that belong to them; the first that fits counts. */
const stepsByFile: readonly (readonly [step: string, file: RegExp])[] = [
  ['read the body', /^http\/body/],
  ['authenticate', /^(sigv4|identity)\/|^pipeline\/authenticate|^cache\/caller/],
  ['parse', /^shape\//],
  ['resolve', /^pipeline\/resolve|^keys\/identifier|^cache\//],
  ['authorize', /^authz\/|^pipeline\/authorize/],
  ['admit', /^pipeline\/admit|^keys\/(state|spec)/],
  ['metrics', /^telemetry\/|^hsm\/observe|^npm prom-client/],
  ['perform: the handler', /^operations\/|^keys\//],
  ['perform: the HSM call (frames, socket)', /^hsm\//],
  ['record', /^audit\/record|^pipeline\/event/],
  ['journal', /^audit\/(journal|segment|frame|backlog)/],
  ['ship to Postgres', /^audit\/|^store\/|^npm pg/],
  ['answer', /^http\/aws-json/],
  ['serve, perform, listener: what holds the steps together', /^pipeline\/|^http\/|^gateway|^cli\//],
]

export const nodeHttp = 'node: HTTP, sockets, event loop'
export const collector = 'garbage collection'
export const native = 'native code with no JavaScript on the stack (libuv, HTTP parser, system calls)'
const others = 'anything else'
/** What is not a step of ours, and so outside the rule that no step takes more than a fifth. */
export const foreign: ReadonlySet<string> = new Set([nodeHttp, collector, native])

export const steps: readonly string[] = [...stepsByFile.map(([step]) => step), nodeHttp, collector, native, others]

export interface Folded {
  /** Microseconds by step, the idle time left out. */
  readonly bySteps: ReadonlyMap<string, number>
  /** Microseconds by `file: function` of the innermost frame of ours. */
  readonly byFunctions: ReadonlyMap<string, number>
  readonly busy: number
}

/** Folds the samples between two times of the monotonic clock, microseconds. */
export function fold(profile: CpuProfile, from = -Infinity, to = Infinity): Folded {
  const stacks = stacksOf(profile)
  const places = new Map([...stacks].map(([id, stack]) => [id, placeOf(stack)]))
  const bySteps = new Map<string, number>()
  const byFunctions = new Map<string, number>()
  let busy = 0
  let time = profile.startTime
  profile.samples.forEach((id, index) => {
    time += profile.timeDeltas[index] ?? 0
    // A sample stands for the time until the next one.
    const microseconds = profile.timeDeltas[index + 1] ?? 0
    const place = places.get(id)
    if (place === undefined || time < from || time >= to) return
    busy += microseconds
    add(bySteps, place.step, microseconds)
    add(byFunctions, place.called, microseconds)
  })
  return { bySteps, byFunctions, busy }
}

function add(map: Map<string, number>, name: string, value: number): void {
  map.set(name, (map.get(name) ?? 0) + value)
}

/** Frames of each node, innermost first. */
function stacksOf({ nodes }: CpuProfile): Map<number, readonly CallFrame[]> {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const stacks = new Map<number, readonly CallFrame[]>()
  const pending: { id: number; above: readonly CallFrame[] }[] = nodes.slice(0, 1).map(({ id }) => ({ id, above: [] }))
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const node = byId.get(next.id)
    if (node === undefined) continue
    const stack = [node.callFrame, ...next.above]
    stacks.set(node.id, stack)
    for (const id of node.children ?? []) pending.push({ id, above: stack })
  }
  return stacks
}

/** undefined for idle time. */
function placeOf(stack: readonly CallFrame[]): { step: string; called: string } | undefined {
  const name = stack[0]?.functionName
  if (name === '(idle)') return undefined
  if (name === '(garbage collector)') return { step: collector, called: collector }
  if (name === '(program)') return { step: native, called: native }
  let throughNode = ''
  for (const { url, functionName } of stack) {
    const file = fileOf(url)
    if (file === undefined) {
      if (/^node:(_http|net|internal\/(stream|streams|http))/.test(url)) throughNode = url
      continue
    }
    // What node:http does to put an answer on the wire is node's; a write to the agent's socket belongs to the call of the HSM.
    if (throughNode !== '' && file.startsWith('http/')) return { step: nodeHttp, called: `node:http below ${file} ${functionName}` }
    const step = stepsByFile.find(([, pattern]) => pattern.test(file))?.[0] ?? others
    return { step, called: `${file} ${functionName || '(closure)'}` }
  }
  const outermost = stack.find(({ url }) => url.startsWith('node:'))
  return { step: nodeHttp, called: outermost === undefined ? others : `${outermost.url} ${outermost.functionName}` }
}

/** A file of ours as its path below dist/, one of a package as `npm NAME`; undefined for node's own and for native code. */
function fileOf(url: string): string | undefined {
  const installed = url.lastIndexOf('/node_modules/')
  if (installed >= 0) return `npm ${url.slice(installed + '/node_modules/'.length).split('/', 1)[0] ?? ''}`
  const ours = url.lastIndexOf('/dist/')
  return ours < 0 ? undefined : url.slice(ours + '/dist/'.length)
}
