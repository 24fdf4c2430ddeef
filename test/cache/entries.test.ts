import { expect, test } from 'vitest'
import { Entries } from '../../src/cache/entries.ts'

/** Reads that answer when the test says so. */
function reads() {
  const open: { id: string; answer: (value: string | undefined) => void; fail: (error: Error) => void }[] = []
  const read = (id: string) => new Promise<string | undefined>((answer, fail) => open.push({ id, answer, fail }))
  return { open, read }
}

const values = new Map([['a', 'A'], ['b', 'B'], ['c', 'C'], ['d', 'D']])
const stored = (limit: number) => new Entries(limit, id => Promise.resolve(values.get(id)))

test('those who ask for one id share one read', async () => {
  const { open, read } = reads()
  const entries = new Entries(10, read)
  const both = [entries.fill('a'), entries.fill('a')]
  expect(open.length).toBe(1)
  open[0]?.answer('A')
  expect(await Promise.all(both)).toEqual(['A', 'A'])
  expect(entries.get('a')).toEqual({ value: 'A' })
})

test('only who causes a read is asked before it, and may prevent it', async () => {
  const { open, read } = reads()
  const entries = new Entries(10, read)
  const begun: string[] = []
  const refused = new Error('not for you')
  expect(() => entries.fill('a', () => { throw refused })).toThrow(refused)
  expect(open.length).toBe(0)
  const both = [entries.fill('a', () => begun.push('first')), entries.fill('a', () => begun.push('second'))]
  open[0]?.answer('A')
  expect(await Promise.all(both)).toEqual(['A', 'A'])
  expect(begun).toEqual(['first'])
})

test('a read that an invalidation overtook is answered and not kept, and who asks after it reads anew', async () => {
  for (const overtake of [(entries: Entries<string>) => entries.drop('a'), (entries: Entries<string>) => entries.clear(), (entries: Entries<string>) => entries.dropWhere(() => false)]) {
    const { open, read } = reads()
    const entries = new Entries(10, read)
    const before = entries.fill('a')
    overtake(entries)
    const after = entries.fill('a')
    expect(open.length).toBe(2)
    open[1]?.answer('new')
    expect(await after).toBe('new')
    open[0]?.answer('old')
    expect(await before).toBe('old')
    expect(entries.get('a')).toEqual({ value: 'new' })
  }
})

test('an invalidation of another id does not disturb a read', async () => {
  const { open, read } = reads()
  const entries = new Entries(10, read)
  const fill = entries.fill('a')
  entries.drop('b')
  open[0]?.answer('A')
  await fill
  expect(entries.get('a')).toEqual({ value: 'A' })
})

test('a read that failed is not kept, and the next one tries again', async () => {
  const { open, read } = reads()
  const entries = new Entries(10, read)
  const fill = entries.fill('a')
  open[0]?.fail(new Error('away'))
  await expect(fill).rejects.toThrow('away')
  expect(entries.get('a')).toBeUndefined()
  void entries.fill('a')
  expect(open.length).toBe(2)
})

test('refill reads for each caller and keeps what it read', async () => {
  const { open, read } = reads()
  const entries = new Entries(10, read)
  const both = [entries.refill('a'), entries.refill('a')]
  expect(open.length).toBe(2)
  for (const one of open) one.answer('A')
  await Promise.all(both)
  expect(entries.get('a')).toEqual({ value: 'A' })
})

test('the entries used longest ago go first', async () => {
  const entries = stored(3)
  for (const id of ['a', 'b', 'c']) await entries.fill(id)
  entries.get('a')
  await entries.fill('d')
  expect(['a', 'b', 'c', 'd'].filter(id => entries.get(id) !== undefined)).toEqual(['a', 'c', 'd'])
})

test('ids that do not exist are kept too, bounded, and push out nothing that does', async () => {
  const entries = stored(2)
  await entries.fill('a')
  for (let n = 0; n < 100; n++) await entries.fill(`none ${n}`)
  expect(entries.get('a')).toEqual({ value: 'A' })
  expect(entries.get('none 99')).toEqual({ value: undefined })
  expect(entries.get('none 97')).toBeUndefined()
})

test('an id that comes into being, or ceases to be, is one entry', async () => {
  let row: string | undefined
  const entries = new Entries(10, () => Promise.resolve(row))
  for (row of [undefined, 'A', undefined]) {
    await entries.refill('a')
    expect(entries.get('a')).toEqual({ value: row })
  }
})

test('entries are dropped by what they hold', async () => {
  const entries = stored(10)
  for (const id of ['a', 'b', 'none']) await entries.fill(id)
  entries.dropWhere(value => value === 'A')
  expect(['a', 'b', 'none'].map(id => entries.get(id))).toEqual([undefined, { value: 'B' }, { value: undefined }])
})

test('a prototype name is an id like any other', async () => {
  const entries = stored(10)
  expect(entries.get('__proto__')).toBeUndefined()
  await entries.fill('constructor')
  expect(entries.get('constructor')).toEqual({ value: undefined })
})
