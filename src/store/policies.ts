// Key policies: the document exactly as the caller sent it.
import { changed, row, type Db } from './database.ts'

export async function findKeyPolicy(db: Db, keyId: string): Promise<string | undefined> {
  const found = await row<{ document: string }>(db, { name: 'policies.find', text: 'SELECT document FROM key_policies WHERE key_id = $1' }, [keyId])
  return found?.document
}

export async function putKeyPolicy(db: Db, keyId: string, document: string): Promise<void> {
  await changed(db, {
    name: 'policies.put',
    text: 'INSERT INTO key_policies (key_id, document) VALUES ($1, $2) ON CONFLICT (key_id) DO UPDATE SET document = excluded.document',
  }, [keyId, document])
}
