import { expect, it } from 'vitest'
import { accessKeyAad, newAccessKeyId, newSecret, newUserId } from '../../src/identity/access-key.ts'

const many = <T>(make: () => T): T[] => Array.from({ length: 500 }, make)

it('an access key id is AKIA and sixteen characters of A-Z2-7, each new', () => {
  const ids = many(newAccessKeyId)
  expect(ids.every(id => /^AKIA[A-Z2-7]{16}$/.test(id))).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
})

it('a user id is AIDA and seventeen characters of A-Z2-7, each new', () => {
  const ids = many(newUserId)
  expect(ids.every(id => /^AIDA[A-Z2-7]{17}$/.test(id))).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
})

it('ids use the whole alphabet', () => {
  expect(new Set(many(newAccessKeyId).flatMap(id => [...id.slice(4)])).size).toBe(32)
})

it('a secret is forty characters that are the base64 of thirty bytes, each new', () => {
  const secrets = many(() => newSecret().toString('latin1'))
  expect(secrets.every(secret => /^[A-Za-z0-9+/]{40}$/.test(secret))).toBe(true)
  expect(secrets.every(secret => Buffer.from(secret, 'base64').toString('base64') === secret)).toBe(true)
  expect(new Set(secrets).size).toBe(secrets.length)
  expect(new Set(secrets.join('')).size).toBe(64)
})

it('what binds a sealed secret to its owner has these bytes for ever', () => {
  expect(accessKeyAad('AKIA', 'root', '111122223333').toString('hex')).toBe(
    `00000012${Buffer.from('trent/access-key/1').toString('hex')}00000004${Buffer.from('AKIA').toString('hex')}`
    + `00000004${Buffer.from('root').toString('hex')}0000000c${Buffer.from('111122223333').toString('hex')}`)
})

it('no two owners are bound alike, wherever the border between fields lies', () => {
  const owners: [string, string, string][] = [['A', 'B', 'C'], ['AB', '', 'C'], ['A', 'BC', ''], ['', 'AB', 'C'], ['A', '', 'BC']]
  expect(new Set(owners.map(owner => accessKeyAad(...owner).toString('hex'))).size).toBe(owners.length)
})
