// The encryption context as bytes: what stands behind the header in the additional authenticated data.
// A context is a Map from the parser on: a plain object loses a member called __proto__.

export type EncryptionContext = ReadonlyMap<string, string>

/**
 * u32 pair count, then for each pair, ordered by the UTF-8 bytes of its key: u32 length, key, u32 length, value (big-endian).
 * Absent, null and {} are count 0. Lone surrogates never come here: the shape checker refuses them, since \ud800 and \ufffd
 * have the same UTF-8. JavaScript's own sort is by UTF-16 unit, which is not byte order.
 */
export function encodeContext(context: EncryptionContext | undefined): Buffer {
  const pairs = [...(context ?? [])].map(([key, value]) => [Buffer.from(key), Buffer.from(value)] as const)
  pairs.sort(([a], [b]) => Buffer.compare(a, b))
  const parts: Buffer[] = [u32(pairs.length)]
  for (const [key, value] of pairs) parts.push(u32(key.length), key, u32(value.length), value)
  return Buffer.concat(parts)
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}
