// The certificates that the operator trusts to attest: AWS Nitro's root, or that of another maker of enclaves.
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { StartError } from '../errors.ts'

const pem = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/** Every certificate of a PEM file. @throws StartError with one sentence */
export function readRoots(file: string): X509Certificate[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new StartError(`attestation.rootsFile: ${file} cannot be read (${String((error as NodeJS.ErrnoException).code)})`)
  }
  const blocks = text.match(pem) ?? []
  if (blocks.length === 0) throw new StartError(`attestation.rootsFile: ${file} holds no certificate in PEM`)
  return blocks.map((block, at) => {
    try {
      const root = new X509Certificate(block)
      if (root.ca) return root
    } catch {
      throw new StartError(`attestation.rootsFile: certificate ${at + 1} of ${file} cannot be read`)
    }
    throw new StartError(`attestation.rootsFile: certificate ${at + 1} of ${file} is of no authority`)
  })
}
