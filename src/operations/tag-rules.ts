// Rules for tags that the service checks beyond the shape of its model.
import { KmsError } from '../errors.ts'
import { required, structure, text } from '../shape/shape.ts'

export const tag = structure({ TagKey: required(text({ min: 1, max: 128 })), TagValue: required(text({ min: 0, max: 256 })) })

/** On one key. */
export const tagQuota = 50

/** The tags of one request, in their order. @throws TagException with AWS's texts */
export function readTags(tags: readonly { readonly TagKey: string; readonly TagValue: string }[] | undefined): ReadonlyMap<string, string> {
  const read = new Map<string, string>()
  for (const { TagKey, TagValue } of tags ?? []) {
    // AWS compares the prefix without regard to case: "AWS:" is reserved too.
    if (TagKey.toLowerCase().startsWith('aws:')) throw new KmsError('TagException', 'Tags beginning with aws: are reserved')
    // Postgres cannot keep a NUL. The text is that of the exception's documentation.
    if (TagKey.includes('\0') || TagValue.includes('\0')) throw new KmsError('TagException', 'The request was rejected because one or more tags are not valid.')
    if (read.has(TagKey)) throw new KmsError('TagException', 'Duplicate tag keys')
    read.set(TagKey, TagValue)
  }
  if (read.size > tagQuota) throw new KmsError('TagException', 'Too many tags')
  return read
}
