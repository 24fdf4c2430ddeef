import { beforeEach, describe, expect, it } from 'vitest'
import { deadlines, Watch, WatchMark, watchMemory } from '../../../src/hsm/agent/watch.ts'

let memory: SharedArrayBuffer
let watch: Watch
let marks: WatchMark[]

beforeEach(() => {
  memory = watchMemory(3)
  watch = new Watch(memory)
  marks = [0, 1, 2].map(worker => new WatchMark(memory, worker))
})

const mark = (worker: number): WatchMark => marks[worker] ?? new WatchMark(memory, worker)

describe('Watch', () => {
  it('sees no overrun of workers that wait for work, however long', () => {
    expect(watch.look(0)).toEqual([])
    expect(watch.look(1_000_000)).toEqual([])
  })

  it('sees the worker whose request passes the deadline of its class, and no other', () => {
    mark(1).begin('hot')
    expect(watch.look(100)).toEqual([])
    expect(watch.look(100 + deadlines.hot)).toEqual([])
    expect(watch.look(101 + deadlines.hot)).toEqual([{ worker: 1, deadlineClass: 'hot' }])
  })

  it('gives an unhurried request its longer time', () => {
    mark(2).begin('unhurried')
    watch.look(0)
    expect(watch.look(deadlines.hot + 1)).toEqual([])
    expect(watch.look(deadlines.unhurried + 1)).toEqual([{ worker: 2, deadlineClass: 'unhurried' }])
  })

  it('counts from the start of each request, not from the start of a busy spell', () => {
    for (let now = 0; now < 10 * deadlines.hot; now += 50) {
      mark(0).begin('hot')
      expect(watch.look(now)).toEqual([])
      mark(0).end()
    }
  })

  it('counts anew when one request ended and another began between two looks', () => {
    mark(0).begin('hot')
    watch.look(0)
    mark(0).end()
    mark(0).begin('hot')
    expect(watch.look(deadlines.hot + 1)).toEqual([])
    expect(watch.look(2 * deadlines.hot + 2)).toEqual([{ worker: 0, deadlineClass: 'hot' }])
  })

  it('sees several that hang at once', () => {
    mark(0).begin('hot')
    mark(2).begin('hot')
    watch.look(0)
    expect(watch.look(deadlines.hot + 1).map(({ worker }) => worker)).toEqual([0, 2])
  })

  it('forgets a request that ended late', () => {
    mark(0).begin('hot')
    watch.look(0)
    mark(0).end()
    expect(watch.look(deadlines.hot + 1)).toEqual([])
  })

  it('keeps its count when the 32-bit counter turns over', () => {
    new Int32Array(memory)[0] = 0x7fffffff - 1
    mark(0).begin('hot')
    watch.look(0)
    mark(0).end()
    mark(0).begin('hot')
    watch.look(1)
    expect(watch.look(deadlines.hot + 2)).toEqual([{ worker: 0, deadlineClass: 'hot' }])
    mark(0).end()
    expect(watch.look(3 * deadlines.hot)).toEqual([])
  })
})
