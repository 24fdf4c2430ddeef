// `trent iam`: the first identity of an account. Everything after it goes through the API.
import type { Command } from 'commander'
import { Command as Group } from 'commander'
import { StartError } from '../errors.ts'
import { accessKeyAad, newAccessKeyId, newSecret, newUserId } from '../identity/access-key.ts'
import { userArn } from '../identity/caller.ts'
import { insertAccessKey } from '../store/access-keys.ts'
import { transaction, type Pool } from '../store/database.ts'
import { listServiceKeys, sealPurpose } from '../store/domain.ts'
import { insertAccount, insertUser, putUserPolicy } from '../store/identities.ts'
import type { Config } from '../config.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { alreadyDone, ExitCode } from './exit-code.ts'
import { openDomain } from './open-domain.ts'

const administratorPolicy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] })

export const iamCommand = (): Command => new Group('iam').description('Identities').addCommand(createAdminCommand())

const createAdminCommand = (): Command =>
  configured('create-admin', 'Make an account if it is new, a user in it who may do everything, and an access key; prints the key once, as JSON')
    .requiredOption('--account <id>', 'account id, 12 digits')
    .requiredOption('--name <name>', 'user name')
    .action(async (options: { config?: string; account: string; name: string }) => {
      if (!/^[0-9]{12}$/.test(options.account)) throw new StartError(`--account is '${options.account}': an account id has 12 digits`)
      if (!/^[\w+=,.@-]{1,64}$/.test(options.name)) throw new StartError('--name: 1 to 64 letters, digits and +=,.@_- are allowed')
      const config = readConfig(options)
      await withDatabase(config, pool => createAdmin(config, pool, options))
    })

async function createAdmin(config: Config, pool: Pool, { account, name }: { account: string; name: string }): Promise<void> {
  const [serviceKey] = (await listServiceKeys(pool, sealPurpose)).slice(-1)
  if (serviceKey === undefined) throw new StartError('the database has no domain yet: run `trent hsm init`')
  const domain = await openDomain(config, pool, { log: () => undefined, started: () => undefined, changed: () => undefined })
  const secret = newSecret()
  try {
    const userId = newUserId()
    const accessKeyId = newAccessKeyId()
    const sealedSecret = await domain.hsm.seal(serviceKey.sealed, accessKeyAad(accessKeyId, userId, account), secret)
    await transaction(pool, async tx => {
      await insertAccount(tx, { id: account, name: account })
      if (!(await insertUser(tx, { id: userId, accountId: account, name, path: '/' }))) throw new ExitCode(alreadyDone, `account ${account} already has a user '${name}'`)
      await putUserPolicy(tx, userId, 'AdministratorAccess', administratorPolicy)
      await insertAccessKey(tx, { id: accessKeyId, accountId: account, userId, status: 'Active', sealedSecret, serviceKeyVersion: serviceKey.version })
    })
    console.log(JSON.stringify({ AccessKeyId: accessKeyId, SecretAccessKey: secret.toString(), Arn: userArn(account, '/', name) }))
  } finally {
    secret.fill(0)
    await domain.close()
  }
}
