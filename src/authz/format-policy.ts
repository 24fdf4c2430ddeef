// A policy document as GetKeyPolicy prints it: two spaces, a space on both sides of a colon, lists on the line of their name. Members
// and their order stay as they were put.

/** @throws SyntaxError for what is no JSON; stored documents were compiled before */
export const formatPolicy = (document: string): string => print(JSON.parse(document) as unknown, '')

function print(value: unknown, indent: string): string {
  if (Array.isArray(value)) return value.length === 0 ? '[ ]' : `[ ${value.map(entry => print(entry, indent)).join(', ')} ]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
  if (members.length === 0) return '{ }'
  const inner = `${indent}  `
  return `{\n${members.map(([name, member]) => `${inner}${JSON.stringify(name)} : ${print(member, inner)}`).join(',\n')}\n${indent}}`
}
