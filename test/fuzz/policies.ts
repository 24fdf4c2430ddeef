// Key policies as texts: sound ones that keep admitting the account, and whatever else the language or JSON may be bent to.
import type { Random } from './random.ts'

const account = 'arn:aws:iam::111122223333:root'
const everything = { Sid: 'account', Effect: 'Allow', Principal: { AWS: account }, Action: 'kms:*', Resource: '*' }

/** A text; 'sound': one that every key may have, and that locks nobody out. */
export function policyText(random: Random, kind?: 'sound'): string {
  const extra = Array.from({ length: random.length(6) }, (_, at) => statement(random, `s${at}`, kind))
  const document: Record<string, unknown> = { Version: '2012-10-17', Id: `id-${random.below(100)}`, Statement: [everything, ...extra] }
  if (kind === 'sound') return printable(JSON.stringify(document, undefined, random.pick([0, 2])))
  if (random.chance(0.2)) document.Statement = extra
  if (random.chance(0.2)) document[random.pick(['Version', 'Statement', 'Id', '__proto__x', 'statement'])] = odd(random)
  const text = printable(JSON.stringify(document))
  return random.chance(0.4) ? bent(random, text) : text
}

/** Beyond the pattern of the member nothing would be looked at. */
const printable = (text: string): string => text.replaceAll(/[^\t\n\r\x20-\xff]/gu, letter => [...Array(letter.length).keys()].map(at => `\\u${letter.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''))

function statement(random: Random, Sid: string, kind?: 'sound'): Record<string, unknown> {
  const Principal = kind === 'sound' ? random.pick([{ AWS: account }, { AWS: '*' }, '*', { AWS: '444455556666' }, { AWS: [account, 'arn:aws:iam::444455556666:root'] }]) : principal(random)
  const Action = kind === 'sound' ? random.pick(['kms:Encrypt', ['kms:Decrypt', 'kms:Generate*'], 'kms:?ign']) : random.pick<unknown>(['kms:*', 'kms:Decrypt', ['kms:Encrypt'], '*', 's3:*', '', [], 'kms:\u00e9', 'KMS:DECRYPT', '*'.repeat(50), odd(random)])
  const whole: Record<string, unknown> = { Sid, Effect: kind === 'sound' ? 'Allow' : random.pick<unknown>(['Allow', 'Deny', 'allow', '', odd(random)]), Principal, Action, Resource: kind === 'sound' ? '*' : random.pick<unknown>(['*', ['*'], 'arn:aws:kms:*:*:key/*', '', odd(random)]) }
  if (kind !== 'sound' && random.chance(0.3)) whole[random.pick(['Condition', 'NotAction', 'NotPrincipal', 'NotResource', 'Extra', 'Sid'])] = random.pick<unknown>([{ StringEquals: { 'kms:ViaService': 'x' } }, {}, { x: { y: 'z' } }, odd(random)])
  return whole
}

const principal = (random: Random): unknown => random.pick<unknown>([
  '*', { AWS: '*' }, { AWS: account }, { AWS: `arn:aws:iam::111122223333:user/${random.text(random.length(20))}` }, { AWS: `arn:aws:iam::111122223333:user/admin` }, { AWS: `arn:aws:iam::${random.text(12)}:role/x` },
  { Service: 'kms.amazonaws.com' }, { Federated: 'x' }, {}, { AWS: [] }, { AWS: Array.from({ length: random.length(200) }, (_, at) => `arn:aws:iam::111122223333:user/u${at}`) }, { AWS: 'AIDAEXAMPLE' }, odd(random),
])

const odd = (random: Random): unknown => random.pick<unknown>([null, 0, true, '', random.text(random.length(30)), [], {}, [[]], [null], { __proto: 1 }, ['x', 'x'], 'a'.repeat(random.length(5_000))])

/** A text that was JSON. */
function bent(random: Random, text: string): string {
  const at = random.below(text.length)
  switch (random.below(6)) {
    case 0: return text.slice(0, Math.max(1, at))
    case 1: return text.slice(0, at) + random.pick([...'{}[],:"\\ x0*']) + text.slice(at + 1)
    case 2: return `${text}${random.pick(['x', '{}', ',', ' '])}`
    case 3: return text.replace('"Effect"', random.pick(['"effect"', '"Effect":"Deny","Effect"', '"__proto__":{},"Effect"']))
    case 4: return '['.repeat(random.length(50_000) + 1)
    default: return `{"Version":"2012-10-17","Statement":[${'{"a":'.repeat(random.length(5_000))}1`
  }
}
