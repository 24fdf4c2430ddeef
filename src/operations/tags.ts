// TagResource, UntagResource, ListResourceTags.
import { KmsError } from '../errors.ts'
import { list, required, text } from '../shape/shape.ts'
import { deleteTags, listTags, listTagsBehind, putTags } from '../store/tags.ts'
import { keyId, limit, marker } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'
import { cutPage, readPage } from './paging.ts'
import { readTags, tag, tagQuota } from './tag-rules.ts'

const change = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, states: ['Enabled', 'Disabled', 'PendingImport', 'Unavailable', 'Creating', 'Updating'],
  aliases: false, otherAccounts: false, grantable: false,
})

export const TagResource = operation({
  kind: 'write',
  input: { KeyId: required(keyId), Tags: required(list(tag)) },
  needs: { key: change('kms:TagResource') },
  readOnly: false,
  audit: ['Tags'],
  check({ Tags }) {
    readTags(Tags)
  },
  async handle({ input, keys, tx, notes }) {
    const { key } = keys.key
    const added = readTags(input.Tags)
    const all = new Set([...(await listTags(tx, key.id)).keys(), ...added.keys()])
    if (all.size > tagQuota) throw new KmsError('TagException', 'Too many tags')
    await putTags(tx, key.id, added)
    notes.responseElements = { keyId: key.arn }
    return undefined
  },
})

export const UntagResource = operation({
  kind: 'write',
  input: { KeyId: required(keyId), TagKeys: required(list(text({ min: 1, max: 128 }))) },
  needs: { key: change('kms:UntagResource') },
  readOnly: false,
  audit: ['TagKeys'],
  check({ TagKeys }) {
    readTags(TagKeys.map(TagKey => ({ TagKey, TagValue: '' })))
  },
  async handle({ input, keys, tx, notes }) {
    const { key } = keys.key
    await deleteTags(tx, key.id, input.TagKeys)
    notes.responseElements = { keyId: key.arn }
    return undefined
  },
})

const longestPage = 50

export const ListResourceTags = operation({
  kind: 'read',
  input: { KeyId: required(keyId), Limit: limit, Marker: marker },
  needs: { key: { key: from('KeyId'), permission: 'kms:ListResourceTags', states: 'any', aliases: false, otherAccounts: false, grantable: false } },
  readOnly: true,
  audit: ['Limit', 'Marker'],
  async handle({ input, keys, db }) {
    const { key } = keys.key
    const listing = ['ListResourceTags', key.id]
    const page = readPage(listing, input.Marker, Math.min(input.Limit ?? longestPage, longestPage), longestPage)
    const after = page.after ?? '0'
    // What a marker holds is the caller's word.
    if (!/^[0-9]{1,18}$/.test(after)) throw new KmsError('InvalidMarkerException')
    // By place, not by name: the tag that ended the page may be gone by now.
    const { entries, more } = cutPage(listing, await listTagsBehind(db, key.id, after, page.limit + 1), page.limit, tag => tag.place)
    return { Tags: entries.map(({ name, value }) => ({ TagKey: name, TagValue: value })), ...more }
  },
})
