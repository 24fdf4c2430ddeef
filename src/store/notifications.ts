// One connection that only listens. It hears what the triggers of migrations/ say about changed rows (channel trent_cache), and
// itself: a beat sent over it comes back behind all notifications of transactions that committed before the beat was sent,
// since Postgres delivers them in the order of commits. So a beat that is back proves that nothing sent before it is missing.
import { randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import pg from 'pg'
import { DatabaseError } from './database.ts'

export interface NotificationHandlers {
  /** `kind key` as the triggers write it, or `everything`. */
  readonly changed: (entry: string) => void
  /** A beat came back, with the text it was sent with. */
  readonly beat: (text: string) => void
  /** The connection is gone, once; not called after close(). */
  readonly lost: () => void
}

export interface Notifications {
  /** Sends a beat; at most 8,000 bytes. That it was sent proves nothing: wait for handlers.beat. */
  beat(text: string): void
  /** Ends the connection at once, without waiting for the server. */
  close(): void
}

const connectMs = 2_000

/** Connects and listens. Resolves when Postgres has confirmed that it delivers. @throws DatabaseError */
export async function openNotifications(url: string, handlers: NotificationHandlers): Promise<Notifications> {
  // A channel of our own: beats of other processes would only be noise.
  const channel = `trent_beat_${randomBytes(8).toString('hex')}`
  // Our own socket, because the driver's end() waits for a server that may be frozen.
  const socket = new Socket()
  const client = new pg.Client({
    connectionString: url,
    application_name: 'trent listen',
    connectionTimeoutMillis: connectMs,
    query_timeout: connectMs,
    keepAlive: true,
    stream: () => socket,
  })
  let open = true
  let handedOver = false
  const close = (): void => {
    open = false
    socket.destroy()
  }
  const lose = (): void => {
    if (!open) return
    close()
    // Until then the caller hears of it by the rejection.
    if (handedOver) handlers.lost()
  }
  client.on('error', lose)
  client.on('end', lose)
  client.on('notification', ({ channel: from, payload = '' }) => {
    if (!open) return
    if (from === channel) handlers.beat(payload)
    else handlers.changed(payload)
  })
  try {
    await client.connect()
    // A beat is a transaction; that it survives a crash of the server is not worth a disk write.
    await client.query('SET synchronous_commit = off')
    await client.query(`LISTEN trent_cache; LISTEN ${channel}`)
  } catch (error) {
    close()
    throw new DatabaseError('listen', error)
  }
  if (!open) throw new DatabaseError('listen', new Error('connection lost'))
  handedOver = true
  return {
    beat: text => void client.query('SELECT pg_notify($1, $2)', [channel, text]).catch(lose),
    close,
  }
}
