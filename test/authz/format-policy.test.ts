import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { formatPolicy } from '../../src/authz/format-policy.ts'

describe('formatPolicy', () => {
  it('prints the default policy as AWS does, whatever white space it came with', () => {
    const printed = defaultKeyPolicy('111122223333')
    expect(formatPolicy(printed)).toBe(printed)
    expect(formatPolicy(JSON.stringify(JSON.parse(printed)))).toBe(printed)
    expect(formatPolicy(JSON.stringify(JSON.parse(printed), null, 7).replaceAll('\n', '\r\n\t'))).toBe(printed)
  })

  it('keeps members in their order and prints lists on the line of their name', () => {
    expect(formatPolicy('{"Statement":[{"Sid":"b","Effect":"Allow"},{"Effect":"Deny","Sid":"a"}],"Version":"2012-10-17"}')).toBe(`{
  "Statement" : [ {
    "Sid" : "b",
    "Effect" : "Allow"
  }, {
    "Effect" : "Deny",
    "Sid" : "a"
  } ],
  "Version" : "2012-10-17"
}`)
    expect(formatPolicy('{"Action":["kms:Encrypt","kms:Decrypt"]}')).toBe('{\n  "Action" : [ "kms:Encrypt", "kms:Decrypt" ]\n}')
  })

  it('prints empty lists and objects on one line', () => {
    expect(formatPolicy('{"Statement":[],"Condition":{}}')).toBe('{\n  "Statement" : [ ],\n  "Condition" : { }\n}')
  })

  it('prints numbers digit for digit as they were put: JavaScript cannot hold them all', () => {
    for (const number of ['12345678901234567890', '1e999', '1.10', '-0', '1E+2']) expect(formatPolicy(`{"n":[${number}]}`)).toBe(`{\n  "n" : [ ${number} ]\n}`)
  })

  it('keeps names that look like numbers, or like parts of JavaScript, in their places', () => {
    expect(formatPolicy('{"b":"1","2":"x","1":"y","__proto__":{"a":"z"}}')).toBe('{\n  "b" : "1",\n  "2" : "x",\n  "1" : "y",\n  "__proto__" : {\n    "a" : "z"\n  }\n}')
  })

  it('keeps brackets, colons, commas, quotes and spaces within strings', () => {
    const text = 'a:{ "b" } , [c]\\ \t\u00ff'
    expect(formatPolicy(JSON.stringify({ [text]: text }))).toBe(`{\n  ${JSON.stringify(text)} : ${JSON.stringify(text)}\n}`)
  })

  it('says the same as what was put, for any JSON, and printing twice changes nothing', () => {
    fc.assert(fc.property(fc.json(), document => {
      const printed = formatPolicy(document)
      expect(JSON.parse(printed)).toEqual(JSON.parse(document))
      expect(formatPolicy(printed)).toBe(printed)
    }))
  })
})
