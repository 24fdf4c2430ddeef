// A policy document as GetKeyPolicy prints it: two spaces, a space on both sides of a colon, lists on the line of their name. Members
// and their order stay as they were put. Words of the text are laid out anew, none is made anew: JSON.parse would round long numbers
// and reorder members that look like numbers.

/** A string, a bracket, colon or comma, or the letters of a number or literal. */
const jsonWord = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g

/** @throws SyntaxError for what is no JSON; stored documents were compiled before */
export function formatPolicy(document: string): string {
  JSON.parse(document)
  const open: string[] = []
  let printed = ''
  let before = ''
  const newLine = (): string => `\n${'  '.repeat(open.filter(bracket => bracket === '{').length)}`
  for (const [word] of document.matchAll(jsonWord)) {
    if (word === '}' || word === ']') {
      const empty = before === '{' || before === '['
      open.pop()
      if (word === ']') printed += empty ? word : ` ${word}`
      else printed += `${empty ? ' ' : newLine()}${word}`
    } else {
      if (before === '{') printed += newLine()
      if (word === '{' || word === '[') open.push(word)
      printed += layout.get(word)?.(open.at(-1), newLine) ?? word
    }
    before = word
  }
  return printed
}

type Layout = (inside: string | undefined, newLine: () => string) => string
const layout: ReadonlyMap<string, Layout> = new Map<string, Layout>([
  ['[', () => '[ '],
  [':', () => ' : '],
  [',', (inside, newLine) => inside === '{' ? `,${newLine()}` : ', '],
])
