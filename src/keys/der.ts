// The little of DER (X.690) that keys and signatures need.

/** One element with its tag, length and the parts of its content. At most 65,535 bytes of content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), content])
  if (length >= 0x10000) throw new RangeError('DER element too long')
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content])
}

export const tags = { integer: 0x02, bitString: 0x03, octetString: 0x04, sequence: 0x30 } as const

/** A number of 0 or more in its shortest form, from big-endian bytes of any length. */
export function derInteger(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex(byte => byte !== 0)
  const shortest = first === -1 ? Buffer.alloc(1) : bytes.subarray(first)
  // A leading bit would make it negative.
  return der(tags.integer, ...((shortest[0] ?? 0) >= 0x80 ? [Buffer.alloc(1)] : []), shortest)
}
