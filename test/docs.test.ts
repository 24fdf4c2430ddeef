// What the documentation says must be so where a test can tell: links lead to files, printed pages are what the code prints, and the
// README's map is the tree.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, it } from 'vitest'
import { settingsMarkdown } from '../src/cli/config.ts'
import { operationsMarkdown } from '../src/cli/operations.ts'

const root = new URL('..', import.meta.url).pathname
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Folders that are made, not written. */
const made = new Set(['.git', ...read('.gitignore').split('\n').filter(line => line.endsWith('/')).map(line => line.slice(0, -1))])

function pagesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return made.has(entry.name) ? [] : pagesIn(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

/** Targets of links and images that are neither addresses nor places on the same page; code is not read. */
function relativeLinks(markdown: string): string[] {
  const prose = markdown.replace(/^```.*?^```/gms, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target).filter(target => !/^([a-z]+:|#)/.test(target))
}

/** Headings as the anchors that GitHub makes of them. */
const anchors = (markdown: string): string[] =>
  [...markdown.replace(/^```.*?^```/gms, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))

it('every relative link of every page leads to a file, and to a heading of it where it names one', () => {
  const pages = pagesIn('.')
  expect(pages).toContain('README.md')
  const broken = pages.flatMap(page => relativeLinks(read(page)).filter(link => {
    const [path = '', heading] = link.split('#')
    const target = relative('.', join(dirname(page), decodeURIComponent(path)))
    if (!existsSync(join(root, target))) return true
    return heading !== undefined && !anchors(read(target)).includes(heading)
  }).map(link => `${page}: ${link}`))
  expect(broken).toEqual([])
})

it('finds a link that leads nowhere, and leaves code and addresses alone', () => {
  expect(relativeLinks('[a](b.md) ![c](d/e.png) [f](https://g.example/) [h](#i) `[j](k.md)`\n```\n[l](m.md)\n```\n')).toEqual(['b.md', 'd/e.png'])
})

it('docs/operations.md is what the table of operations says: npm run docs', () => {
  expect(read('docs/operations.md')).toBe(operationsMarkdown())
})

it('docs/settings.md is what the table of settings says: npm run docs', () => {
  expect(read('docs/settings.md')).toBe(settingsMarkdown())
})

/** The paths of the README's map: two spaces a level, a path, at least two spaces, what it is. */
function mapped(): string[] {
  const [, map = ''] = /^## The tree\n.*?^```text\n(.*?)^```/ms.exec(read('README.md')) ?? []
  const parents: string[] = []
  return map.split('\n').filter(line => line !== '').map(line => {
    const [, indent = '', name = ''] = /^( *)(\S+)/.exec(line) ?? []
    const level = indent.length / 2
    const path = join(parents[level - 1] ?? '', name)
    parents[level] = path
    return path
  })
}

const foldersIn = (folder: string): string[] =>
  readdirSync(join(root, folder)).filter(name => !made.has(name) && statSync(join(root, folder, name)).isDirectory()).map(name => join(folder, name, '/'))

it('the README\'s map of the tree names each folder of src and of the root, and nothing that is not there', () => {
  const named = mapped()
  expect(named.filter(path => !existsSync(join(root, path)))).toEqual([])
  expect([...foldersIn('.'), ...foldersIn('src')].filter(folder => !named.includes(folder))).toEqual([])
})
