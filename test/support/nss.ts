// A second kind of token: NSS softokn, which stands wherever Firefox or libnss3 does. Its codes, mechanisms and rules differ from SoftHSM's.
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pin } from './installation.ts'

const libraries = ['/usr/lib/x86_64-linux-gnu/libsoftokn3.so', '/usr/lib/aarch64-linux-gnu/libsoftokn3.so', '/usr/lib64/libsoftokn3.so', '/usr/lib/libsoftokn3.so']
export const softoknLibrary = libraries.find(existsSync) ?? '/usr/lib/x86_64-linux-gnu/libsoftokn3.so'

/** For `hsm.tokens`. NSS names its token itself. */
export const nssConfig = (directory: string) => ({
  label: 'NSS Certificate DB', library: softoknLibrary, profile: 'nss', pinFile: join(directory, 'pin'), env: {}, workers: 2, standby: false, pinVersion: 1,
  // The last space is NSS's syntax: flags have no value.
  libraryParameters: `configdir='sql:${join(directory, 'nss')}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= `,
})

/** The directory of a token that is still to be initialised, and the files that `trent hsm init-token` wants: its SO PIN is empty. */
export async function writeNssFiles(directory: string): Promise<{ soPinFile: string }> {
  const soPinFile = join(directory, 'so-pin')
  await mkdir(join(directory, 'nss'), { mode: 0o700 })
  await writeFile(join(directory, 'pin'), pin, { mode: 0o600 })
  await writeFile(soPinFile, '', { mode: 0o600 })
  return { soPinFile }
}
