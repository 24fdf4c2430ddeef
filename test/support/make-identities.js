// Run as a child by installation.ts: identities that no command of Trent makes. Their secrets are sealed by the token, so an agent has
// to run; it is started from dist/, in this process and not in vitest's. Argument: the configuration. Prints them as JSON.
import { loadConfig } from '../../dist/config.js'
import { openDomain } from '../../dist/cli/open-domain.js'
import { accessKeyAad, newAccessKeyId, newSecret, newUserId } from '../../dist/identity/access-key.js'
import { insertAccessKey } from '../../dist/store/access-keys.js'
import { openPool } from '../../dist/store/database.js'
import { listServiceKeys, sealPurpose } from '../../dist/store/domain.js'
import { insertAccount, insertUser, putUserPolicy } from '../../dist/store/identities.js'

const everything = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] })
const [, , file, account, foreignAccount] = process.argv
const config = loadConfig({ file, env: {} })
const pool = openPool(config.database.url)
const domain = await openDomain(config, pool, { log: () => {}, started: () => {}, changed: () => {} })
const [serviceKey] = (await listServiceKeys(pool, sealPurpose)).slice(-1)

async function identity(accountId, name, policy) {
  await insertAccount(pool, { id: accountId, name: accountId })
  const userId = name === null ? null : newUserId()
  if (userId !== null) await insertUser(pool, { id: userId, accountId, name, path: '/' })
  if (policy !== undefined) await putUserPolicy(pool, userId, 'own', policy)
  const accessKeyId = newAccessKeyId()
  const secret = newSecret()
  const sealedSecret = await domain.hsm.seal(serviceKey.sealed, accessKeyAad(accessKeyId, userId ?? 'root', accountId), secret)
  await insertAccessKey(pool, { id: accessKeyId, accountId, userId, status: 'Active', sealedSecret, serviceKeyVersion: serviceKey.version })
  return {
    accessKeyId, secretAccessKey: secret.toString(), accountId, userId,
    arn: `arn:aws:iam::${accountId}:${name === null ? 'root' : `user/${name}`}`,
  }
}

const made = {
  plain: await identity(account, 'plain'),
  root: await identity(account, null),
  foreign: await identity(foreignAccount, 'foreign', everything),
}
await domain.close()
await pool.end()
console.log(JSON.stringify(made))
