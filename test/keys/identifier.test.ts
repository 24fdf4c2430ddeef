import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { aliasArn, isAliasName, isKeyId, keyArn, keyIdBytes, keyIdFromBytes, newKeyId, parseKeyReference } from '../../src/keys/identifier.ts'

const locale = { region: 'onprem-1', accountId: '111122223333' }
const id = 'd3adbeef-0123-4567-89ab-cdef01234567'
const multiRegion = 'mrk-00112233445566778899aabbccddeeff'
const other = '999988887777'

describe('isAliasName', () => {
  it.each(['alias/a', 'alias/a/b_C-9', 'alias/aws/s3', `alias/${'a'.repeat(250)}`])('takes %s', name => {
    expect(isAliasName(name)).toBe(true)
  })

  it.each(['alias/', 'a', 'Alias/a', 'alias/a:b', 'alias/a b', 'alias/\0', 'alias/a\n', 'alias/\u00e9', `alias/${'a'.repeat(251)}`])('refuses %j', name => {
    expect(isAliasName(name)).toBe(false)
  })
})

describe('parseKeyReference', () => {
  it.each([
    ['a key id', id, { kind: 'key', accountId: '111122223333', keyId: id, form: 'id' }],
    ['a multi-Region key id', multiRegion, { kind: 'key', accountId: '111122223333', keyId: multiRegion, form: 'id' }],
    ['a key ARN of another account', keyArn('onprem-1', other, id), { kind: 'key', accountId: other, keyId: id, form: 'arn' }],
    ['an alias name', 'alias/app', { kind: 'alias', accountId: '111122223333', name: 'alias/app', form: 'name' }],
    ['an alias name with slashes', 'alias/a/b', { kind: 'alias', accountId: '111122223333', name: 'alias/a/b', form: 'name' }],
    ['an alias ARN of another account', aliasArn('onprem-1', other, 'alias/a/b'), { kind: 'alias', accountId: other, name: 'alias/a/b', form: 'arn' }],
  ])('reads %s', (_what, text, expected) => {
    expect(parseKeyReference(text, locale)).toEqual(expected)
  })

  it.each([
    ['nothing', ''],
    ['a word', 'app'],
    ['a key id in capitals', id.toUpperCase()],
    ['a key id with a blank', `${id} `],
    ['a key id with a line break', `${id}\n`],
    ['a multi-Region key id with hyphens', `mrk-${id}`],
    ['a key ARN without an id', `arn:aws:kms:onprem-1:111122223333:key/`],
    ['a key ARN with an alias', `arn:aws:kms:onprem-1:111122223333:key/alias/app`],
    ['an ARN of another partition', `arn:aws-cn:kms:onprem-1:111122223333:key/${id}`],
    ['an ARN of another service', `arn:aws:s3:onprem-1:111122223333:key/${id}`],
    ['an ARN of a short account', `arn:aws:kms:onprem-1:11112222333:key/${id}`],
    ['an ARN of something else', `arn:aws:kms:onprem-1:111122223333:grant/${id}`],
    ['an ARN without a Region', `arn:aws:kms::111122223333:key/${id}`],
  ])('refuses %s as Invalid keyId', (_what, text) => {
    expect(() => parseKeyReference(text, locale)).toThrow(new KmsError('NotFoundException', `Invalid keyId '${text}'`))
  })

  it.each([keyArn('eu-central-1', locale.accountId, id), aliasArn('eu-central-1', locale.accountId, 'alias/app')])('refuses %s: another Region', text => {
    expect(() => parseKeyReference(text, locale)).toThrow(new KmsError('NotFoundException', 'Invalid arn eu-central-1'))
  })

  it('throws nothing but NotFoundException, whatever the text', () => {
    const nearly = fc.tuple(fc.constantFrom('arn:aws:kms:onprem-1:111122223333:', 'arn:aws:kms:', 'alias/', 'mrk-', id.slice(0, 30), ''), fc.string({ unit: 'binary', maxLength: 60 })).map(parts => parts.join(''))
    fc.assert(fc.property(fc.oneof(nearly, fc.string({ unit: 'binary' })), text => {
      try {
        const found = parseKeyReference(text, locale)
        if (found.kind === 'key') expect(isKeyId(found.keyId)).toBe(true)
        else expect(found.name.startsWith('alias/')).toBe(true)
      } catch (thrown) {
        expect(thrown).toMatchObject({ name: 'KmsError', code: 'NotFoundException' })
      }
    }), { numRuns: 500 })
  })

  it('answers a megabyte of hyphens at once', () => {
    const long = `arn:aws:kms:${'a-'.repeat(500_000)}`
    const start = performance.now()
    expect(() => parseKeyReference(long, locale)).toThrow(KmsError)
    expect(performance.now() - start).toBeLessThan(1000)
  })
})

describe('key ids as bytes', () => {
  it('are 16, and give the id back', () => {
    expect(keyIdBytes(id).toString('hex')).toBe('d3adbeef0123456789abcdef01234567')
    expect(keyIdBytes(multiRegion).toString('hex')).toBe('00112233445566778899aabbccddeeff')
    fc.assert(fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.boolean(), (bytes, isMultiRegion) => {
      const text = keyIdFromBytes(Buffer.from(bytes), isMultiRegion)
      expect(isKeyId(text)).toBe(true)
      expect(text.startsWith('mrk-')).toBe(isMultiRegion)
      expect(keyIdBytes(text)).toEqual(Buffer.from(bytes))
    }))
  })

  it('come from newKeyId in the form that parses', () => {
    const made = newKeyId()
    expect(parseKeyReference(made, locale)).toMatchObject({ kind: 'key', keyId: made })
    expect(newKeyId()).not.toBe(made)
  })
})

describe('ARNs', () => {
  it('are printed as AWS prints them', () => {
    expect(keyArn('onprem-1', '111122223333', id)).toBe(`arn:aws:kms:onprem-1:111122223333:key/${id}`)
    expect(aliasArn('onprem-1', '111122223333', 'alias/app')).toBe('arn:aws:kms:onprem-1:111122223333:alias/app')
  })
})
