// MGF1 of PKCS #1 (RFC 8017, B.2.1): the mask of PSS and OAEP.
import { createHash } from 'node:crypto'
import type { HashName } from './spec.ts'

export function mgf1(hash: HashName, seed: Uint8Array, length: number): Buffer {
  const blocks: Buffer[] = []
  const counter = Buffer.alloc(4)
  for (let made = 0; made < length; ) {
    counter.writeUInt32BE(blocks.length)
    const block = createHash(hash).update(seed).update(counter).digest()
    blocks.push(block)
    made += block.length
  }
  return Buffer.concat(blocks, length)
}
