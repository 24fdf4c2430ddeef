// A strict reader of the Prometheus text format 0.0.4, written for the tests: it refuses what a scrape would refuse.

const helpLine = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/
const typeLine = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/
const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\+Inf|-?[0-9.e+-]+)$/

/** Series → value. Throws on a malformed line, a repeated series, or a sample that does not belong to the family above it. */
export function samplesOf(page: string): Map<string, number> {
  if (!page.endsWith('\n')) throw new Error('the page does not end with a line feed')
  const samples = new Map<string, number>()
  const seen = new Set<string>()
  let family = ''
  for (const line of page.split('\n')) {
    if (line === '' || helpLine.test(line)) continue
    const type = typeLine.exec(line)
    if (type !== null) {
      family = type[1] ?? ''
      if (seen.has(family)) throw new Error(`second TYPE of ${family}`)
      seen.add(family)
      continue
    }
    const sample = sampleLine.exec(line)
    if (sample === null) throw new Error(`malformed: ${line}`)
    const [, name = '', labels = '', value = ''] = sample
    if (name.replace(/_(bucket|sum|count)$/, '') !== family && name !== family) throw new Error(`${name} stands under ${family}`)
    const series = `${name}${labels}`
    if (samples.has(series)) throw new Error(`second sample of ${series}`)
    samples.set(series, value === '+Inf' ? Infinity : Number(value))
  }
  return samples
}
