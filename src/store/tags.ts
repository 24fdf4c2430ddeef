// Rows of tags of keys.
import { changed, rows, type Db } from './database.ts'

/** A key's tags in the order they were first put: ListResourceTags shows that order. */
export async function listTags(db: Db, keyId: string): Promise<Map<string, string>> {
  const found = await rows<{ tag_key: string; tag_value: string }>(db, {
    name: 'tags.list', text: 'SELECT tag_key, tag_value FROM tags WHERE key_id = $1 ORDER BY position',
  }, [keyId])
  return new Map(found.map(({ tag_key, tag_value }) => [tag_key, tag_value]))
}

export interface PlacedTag {
  readonly name: string
  readonly value: string
  /** Ascending in the order of first putting; of a tag that is gone it is not used again. A decimal number of at most 19 digits. */
  readonly place: string
}

/** A page of a key's tags behind a place. */
export async function listTagsBehind(db: Db, keyId: string, place: string, limit: number): Promise<PlacedTag[]> {
  return await rows<PlacedTag>(db, {
    name: 'tags.list-behind',
    text: 'SELECT tag_key AS name, tag_value AS value, position AS place FROM tags WHERE key_id = $1 AND position > $2 ORDER BY position LIMIT $3',
  }, [keyId, place, limit])
}

/** Adds tags and changes the values of those that are there, which keep their place. */
export async function putTags(db: Db, keyId: string, tags: ReadonlyMap<string, string>): Promise<void> {
  await changed(db, {
    name: 'tags.put',
    text: `INSERT INTO tags (key_id, tag_key, tag_value) SELECT $1, t.k, t.v FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS t(k, v, place)
      ORDER BY t.place ON CONFLICT (key_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value`,
  }, [keyId, [...tags.keys()], [...tags.values()]])
}

/** Takes tags away; names that are not there are passed over, as AWS does. */
export async function deleteTags(db: Db, keyId: string, names: readonly string[]): Promise<void> {
  await changed(db, { name: 'tags.delete', text: 'DELETE FROM tags WHERE key_id = $1 AND tag_key = ANY($2)' }, [keyId, names])
}
