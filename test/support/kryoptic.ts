// A third kind of token: Kryoptic, built from hsm/kryoptic by `./check --tokens kryoptic`. It has the post-quantum mechanisms of PKCS#11 v3.2.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pin } from './installation.ts'

const label = 'trent-kryoptic'

/** For `hsm.tokens`. */
export const kryopticConfig = (directory: string) => ({
  label, library: process.env.TRENT_TEST_KRYOPTIC ?? '', profile: 'kryoptic', pinFile: join(directory, 'pin'),
  env: { KRYOPTIC_CONF: join(directory, 'kryoptic.conf') }, workers: 2, standby: false, pinVersion: 1,
})

/** The directory of a token that is still to be initialised, and the files that `trent hsm init-token` wants. */
export async function writeKryopticFiles(directory: string): Promise<{ soPinFile: string }> {
  const soPinFile = join(directory, 'so-pin')
  await writeFile(join(directory, 'kryoptic.conf'), `[[slots]]\nslot = 0\ndbtype = "sqlite"\ndbargs = "${join(directory, 'token.sql')}"\n`)
  await writeFile(join(directory, 'pin'), pin, { mode: 0o600 })
  await writeFile(soPinFile, '81726354', { mode: 0o600 })
  return { soPinFile }
}
