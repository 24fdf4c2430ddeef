// Wildcard patterns of Action and Resource: `*` is any run of characters, `?` exactly one. Policies are written by callers,
// so no pattern becomes a regular expression: a matcher only moves forward and cannot be made to backtrack.

/** Tests a text, all of it, against the patterns it was compiled from. */
export type Matcher = (text: string) => boolean

const wildcard = /[*?]/
const everything: Matcher = () => true

/** One test for a list of patterns, true where any of them matches. Exact patterns become one look-up, however many they are. */
export function compileMatcher(patterns: readonly string[]): Matcher {
  const exact = new Set(patterns.filter((pattern) => !wildcard.test(pattern)))
  const wild = patterns.filter((pattern) => wildcard.test(pattern)).map(compileWildcard)
  if (wild.includes(everything)) return everything
  const [only] = wild
  if (only !== undefined && wild.length === 1 && exact.size === 0) return only
  if (wild.length === 0) return (text) => exact.has(text)
  return (text) => exact.has(text) || wild.some((matches) => matches(text))
}

/** What stands between two stars: characters, of which `?` fits any. */
interface Run {
  readonly text: string
  /** Without `?`: the engine's own search serves. */
  readonly plain: boolean
}

function compileWildcard(pattern: string): Matcher {
  const runs = pattern.split(/\*+/).map((text): Run => ({ text, plain: !text.includes('?') }))
  const [first, ...rest] = runs
  const last = rest.pop()
  if (first === undefined) return () => false
  // No star at all.
  if (last === undefined) return (text) => text.length === first.text.length && fits(first, text, 0)
  if (rest.length === 0 && last.text === '' && first.plain) {
    return first.text === '' ? everything : (text) => text.startsWith(first.text)
  }
  return (text) => {
    const end = text.length - last.text.length
    if (end < first.text.length || !fits(first, text, 0) || !fits(last, text, end)) return false
    let at = first.text.length
    // The leftmost place of each run leaves the most room for the next, so no earlier choice ever needs to be taken back.
    for (const run of rest) {
      const found = find(run, text, at, end)
      if (found === undefined) return false
      at = found + run.text.length
    }
    return true
  }
}

function fits(run: Run, text: string, at: number): boolean {
  if (run.plain) return text.startsWith(run.text, at)
  for (let i = 0; i < run.text.length; i++) {
    if (run.text[i] !== '?' && run.text[i] !== text[at + i]) return false
  }
  return true
}

function find(run: Run, text: string, from: number, end: number): number | undefined {
  const last = end - run.text.length
  if (run.plain) {
    const at = text.indexOf(run.text, from)
    return at === -1 || at > last ? undefined : at
  }
  for (let at = from; at <= last; at++) {
    if (fits(run, text, at)) return at
  }
  return undefined
}
