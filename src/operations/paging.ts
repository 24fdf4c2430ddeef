// Markers: opaque to the client, bound to the operation, the account and whatever else the page was asked with, so that one of
// another listing is refused, and so is a damaged one. They hide nothing (the client has seen the last id), so they are not signed:
// a made-up one can only ask for a page of the caller's own listing.
import { createHash } from 'node:crypto'
import { KmsError } from '../errors.ts'

const version = 1
const bindingBytes = 8

export interface Page {
  /** The last id of the page before; undefined for the first page. */
  readonly after: string | undefined
  readonly limit: number
}

/** @throws InvalidMarkerException for a marker that is damaged or of another listing. */
export function readPage(listing: readonly string[], marker: string | undefined, limit: number | undefined, defaultLimit: number): Page {
  return { after: marker === undefined ? undefined : open(listing, marker), limit: limit ?? defaultLimit }
}

/** From `limit + 1` entries asked for: the page, and the marker when there is more. */
export function cutPage<Entry>(listing: readonly string[], found: readonly Entry[], limit: number, idOf: (entry: Entry) => string): { entries: readonly Entry[]; more: { Truncated: boolean; NextMarker?: string } } {
  const entries = found.slice(0, limit)
  const last = entries.at(-1)
  if (found.length <= limit || last === undefined) return { entries, more: { Truncated: false } }
  return { entries, more: { Truncated: true, NextMarker: seal(listing, idOf(last)) } }
}

const seal = (listing: readonly string[], id: string): string =>
  Buffer.concat([Buffer.from([version]), binding(listing, Buffer.from(id)), Buffer.from(id)]).toString('base64')

function open(listing: readonly string[], marker: string): string {
  const bytes = Buffer.from(marker, 'base64')
  const id = bytes.subarray(1 + bindingBytes)
  const genuine = bytes[0] === version && id.length > 0 && bytes.toString('base64') === marker
    && bytes.subarray(1, 1 + bindingBytes).equals(binding(listing, id))
    // No id has one, and Postgres takes none: a made-up marker must not become an internal error.
    && !id.includes(0)
  if (!genuine) throw new KmsError('InvalidMarkerException')
  return id.toString()
}

/** JSON ends where its last bracket closes, so the id behind it cannot be mistaken for a part of the listing. */
const binding = (listing: readonly string[], id: Buffer): Buffer =>
  createHash('sha256').update(JSON.stringify(listing)).update(id).digest().subarray(0, bindingBytes)
