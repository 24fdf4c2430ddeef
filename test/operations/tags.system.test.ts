import { paginateListResourceTags } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { cutPage } from '../../src/operations/paging.ts'
import { putTags } from '../../src/store/tags.ts'
import { kms } from '../support/aws.ts'
import { expectRefusal, openScene, success, type Json, type Reply, type Scene } from '../support/scene.ts'
import { commonSections, type Fixture } from '../support/sections.ts'

let scene: Scene
const { foreign } = inject('installation').identities

beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

commonSections('TagResource', () => scene, async ({ key }: Fixture) => {
  await scene.change(tx => tx.query('DELETE FROM tags WHERE key_id = $1', [key.id]))
  return { KeyId: key.id, Tags: [{ TagKey: 'team', TagValue: 'blue' }] }
})
commonSections('UntagResource', () => scene, ({ key }) => ({ KeyId: key.id, TagKeys: ['team'] }))
commonSections('ListResourceTags', () => scene, ({ key }) => ({ KeyId: key.id }))

interface Tag {
  readonly TagKey: string
  readonly TagValue: string
}

const tag = (TagKey: string, TagValue = 'v'): Tag => ({ TagKey, TagValue })
const tags = (count: number, prefix = 'k'): Tag[] => Array.from({ length: count }, (_, index) => tag(`${prefix}${index}`))
const put = (KeyId: string, ...Tags: readonly Tag[]): Promise<Reply> => scene.call('TagResource', { KeyId, Tags })
const list = async (KeyId: string, input: Json = {}): Promise<{ Tags: Tag[]; Truncated: boolean; NextMarker?: string }> =>
  success(await scene.call('ListResourceTags', { KeyId, ...input })) as unknown as { Tags: Tag[]; Truncated: boolean; NextMarker?: string }
const tagged = async (...Tags: readonly Tag[]): Promise<string> => (await scene.newKey({ Tags })).id

describe('TagResource: behaviour', () => {
  it('answers nothing, and adds tags behind those that are there; an overwritten one keeps its place', async () => {
    const id = await tagged(tag('zeta', '1'), tag('alpha', '2'))
    const { status, text } = await put(id, tag('mid', '3'), tag('zeta', '4'), tag('beta', ''))
    expect({ status, text }).toEqual({ status: 200, text: '' })
    expect(await list(id)).toEqual({ Tags: [tag('zeta', '4'), tag('alpha', '2'), tag('mid', '3'), tag('beta', '')], Truncated: false })
    success(await put(id, tag('alpha', 'again')))
    expect((await list(id)).Tags.map(({ TagKey }) => TagKey)).toEqual(['zeta', 'alpha', 'mid', 'beta'])
  })

  it('tells names apart by case, and keeps any characters', async () => {
    const odd = [tag('Team'), tag('team'), tag('__proto__', 'constructor'), tag('größe 🔑 +-=._:/@', '"\\ \n')]
    const id = await tagged()
    success(await put(id, ...odd))
    expect((await list(id)).Tags).toEqual(odd)
  })

  it('takes no tags without a change', async () => {
    const id = await tagged(tag('a'))
    success(await put(id))
    expect((await list(id)).Tags).toEqual([tag('a')])
  })

  it('keeps 50 on a key and refuses one more; overwriting is no more', async () => {
    const id = await tagged(...tags(49))
    success(await put(id, tag('last')))
    expectRefusal(await put(id, tag('more')), 'TagException', 'Too many tags')
    expectRefusal(await put(id, tag('k1', 'changed'), tag('more')), 'TagException', 'Too many tags')
    expect((await list(id)).Tags).toEqual([...tags(49), tag('last')])
    success(await put(id, ...tags(49).map(({ TagKey }) => tag(TagKey, 'changed')), tag('last', 'changed')))
    expect((await list(id)).Tags.every(({ TagValue }) => TagValue === 'changed')).toBe(true)
    success(await scene.call('UntagResource', { KeyId: id, TagKeys: ['k3'] }))
    success(await put(id, tag('more')))
  })

  it('keeps to 50 when several add at once', async () => {
    const id = await tagged(...tags(45))
    const replies = await Promise.all(Array.from({ length: 10 }, (_, index) => put(id, tag(`race${index}`))))
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(5)
    for (const reply of replies.filter(({ status }) => status !== 200)) expectRefusal(reply, 'TagException', 'Too many tags')
    expect((await list(id)).Tags).toHaveLength(50)
  })

  it('is of one key alone', async () => {
    const [one, other] = [await tagged(tag('a')), await tagged()]
    success(await put(one, tag('b')))
    expect((await list(other)).Tags).toEqual([])
  })
})

const long = (length: number): string => 'x'.repeat(length)
const tooLong = (value: string, path: string, most: number): string =>
  `1 validation error detected: Value '${value}' at '${path}' failed to satisfy constraint: Member must have length less than or equal to ${most}`

describe('bad tags', () => {
  it.each<readonly [what: string, Tags: readonly Tag[], type: string, text: string | undefined]>([
    ['the same name twice', [tag('a', '1'), tag('b'), tag('a', '2')], 'TagException', 'Duplicate tag keys'],
    ['51 in one request', tags(51), 'TagException', 'Too many tags'],
    ['a reserved prefix', [tag('a'), tag('aws:x')], 'TagException', 'Tags beginning with aws: are reserved'],
    ['a reserved prefix in capitals', [tag('AWS:x')], 'TagException', 'Tags beginning with aws: are reserved'],
    ['a name of 129 characters', [tag(long(129))], 'ValidationException', tooLong(long(129), 'tags.1.member.tagKey', 128)],
    ['a value of 257 characters', [tag('a', long(257))], 'ValidationException', tooLong(long(257), 'tags.1.member.tagValue', 256)],
    ['an empty name', [tag('')], 'ValidationException', `1 validation error detected: Value '' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1`],
    ['a character that cannot be stored', [tag('a', '\0')], 'TagException', 'The request was rejected because one or more tags are not valid.'],
  ])('%s: refused, and nothing is stored', async (_what, Tags, type, text) => {
    const id = await tagged(tag('there'))
    expectRefusal(await put(id, ...Tags), type, text)
    expect((await list(id)).Tags).toEqual([tag('there')])
  })

  it('longest name and value are taken', async () => {
    const id = await tagged()
    success(await put(id, tag(long(128), long(256))))
    expect((await list(id)).Tags).toEqual([tag(long(128), long(256))])
  })
})

describe('UntagResource: behaviour', () => {
  const untag = (KeyId: string, ...TagKeys: readonly string[]): Promise<Reply> => scene.call('UntagResource', { KeyId, TagKeys })

  it('answers nothing, takes tags away and passes over names that are not there', async () => {
    const id = await tagged(tag('a'), tag('b'), tag('c'))
    const { status, text } = await untag(id, 'b', 'unknown', 'A')
    expect({ status, text }).toEqual({ status: 200, text: '' })
    expect((await list(id)).Tags).toEqual([tag('a'), tag('c')])
    success(await untag(id, 'b'))
    success(await untag(id))
  })

  it('frees the place: a tag put again comes last', async () => {
    const id = await tagged(tag('a'), tag('b'))
    success(await untag(id, 'a'))
    success(await put(id, tag('a')))
    expect((await list(id)).Tags.map(({ TagKey }) => TagKey)).toEqual(['b', 'a'])
  })

  it.each([['a name twice', ['a', 'a'], 'Duplicate tag keys'], ['a reserved prefix', ['Aws:x'], 'Tags beginning with aws: are reserved'], ['51 names', tags(51).map(({ TagKey }) => TagKey), 'Too many tags']])(
    'refuses %s, and takes nothing away', async (_what, names, text) => {
      const id = await tagged(tag('a'))
      expectRefusal(await untag(id, ...names), 'TagException', text)
      expect((await list(id)).Tags).toEqual([tag('a')])
    })
})

describe('ListResourceTags: behaviour', () => {
  it('walks in the order of putting, each tag once, whatever the size of the pages, the SDK\'s paginator included', async () => {
    const id = await tagged(...tags(20).reverse())
    const all = tags(20).reverse()
    for (const Limit of [1, 7, 20, 50, 1000]) {
      const seen: Tag[] = []
      for (let Marker: string | undefined; ;) {
        const { Tags, Truncated, NextMarker } = await list(id, { Limit, Marker })
        seen.push(...Tags)
        expect(Truncated).toBe(NextMarker !== undefined)
        if (NextMarker === undefined) break
        Marker = NextMarker
      }
      expect(seen).toEqual(all)
    }
    const client = kms(scene.trent.url)
    const paged: unknown[] = []
    for await (const { Tags = [] } of paginateListResourceTags({ client, pageSize: 6 }, { KeyId: id })) paged.push(...Tags)
    client.destroy()
    expect(paged).toEqual(all)
  })

  it('has all 50 on a page unless told otherwise', async () => {
    const id = await tagged(...tags(50))
    expect(await list(id)).toEqual({ Tags: tags(50), Truncated: false })
  })

  it('goes on where the page ended although its last tag is gone or overwritten meanwhile', async () => {
    const id = await tagged(...tags(6))
    const { NextMarker: Marker } = await list(id, { Limit: 3 })
    success(await scene.call('UntagResource', { KeyId: id, TagKeys: ['k2'] }))
    success(await put(id, tag('k1', 'changed'), tag('new')))
    expect((await list(id, { Marker })).Tags.map(({ TagKey }) => TagKey)).toEqual(['k3', 'k4', 'k5', 'new'])
  })

  it('refuses a marker of another key, another account and another operation', async () => {
    const [one, other] = [await tagged(...tags(3)), await tagged(...tags(3))]
    const { NextMarker } = await list(one, { Limit: 1 })
    const theirs = await scene.newKey({ Tags: tags(2) }, foreign)
    const foreignMarker = success(await scene.call('ListResourceTags', { KeyId: theirs.id, Limit: 1 }, foreign)).NextMarker
    const { NextMarker: ofKeys } = success(await scene.call('ListKeys', { Limit: 1 }))
    // Bound to the right listing by somebody who knows how, to a place that no tag can have.
    const forged = ['x', '-1', '9'.repeat(19), '1e3'].map(place => cutPage(['ListResourceTags', one], [place, 'one more'], 1, same => same).more.NextMarker)
    for (const [KeyId, Marker] of [[other, NextMarker], [one, foreignMarker], [one, ofKeys], [one, 'made up'], [one, `${NextMarker}x`], ...forged.map(marker => [one, marker])]) {
      expectRefusal(await scene.call('ListResourceTags', { KeyId, Marker }), 'InvalidMarkerException')
    }
  })

  it('shows at once what was put behind the gateway\'s back', async () => {
    const id = await tagged()
    await scene.change(tx => putTags(tx, id, new Map([['a', '1']])))
    expect((await list(id)).Tags).toEqual([tag('a', '1')])
  })
})
