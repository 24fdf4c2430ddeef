// Tokens that an operator has taken out, by label, for all hosts.
import { changed, rows, type Db } from './database.ts'

export interface TokenDrain {
  readonly label: string
  readonly since: Date
}

export async function listTokenDrains(db: Db): Promise<TokenDrain[]> {
  return await rows<TokenDrain>(db, { name: 'token-drains.list', text: 'SELECT label, since FROM token_drains ORDER BY label' })
}

/** Resolves to false when it is out already. */
export async function insertTokenDrain(db: Db, label: string): Promise<boolean> {
  return await changed(db, { name: 'token-drains.insert', text: 'INSERT INTO token_drains (label) VALUES ($1) ON CONFLICT DO NOTHING' }, [label]) === 1
}

/** Resolves to false when it is not out. */
export async function deleteTokenDrain(db: Db, label: string): Promise<boolean> {
  return await changed(db, { name: 'token-drains.delete', text: 'DELETE FROM token_drains WHERE label = $1' }, [label]) === 1
}
