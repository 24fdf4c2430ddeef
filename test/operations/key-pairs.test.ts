import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { KeyPairs } from '../../src/operations/key-pairs.ts'

describe('the making of key pairs', () => {
  it('lets 66 be asked for at once, throttles the others, and takes up where it stopped', async () => {
    const pairs = new KeyPairs()
    const asked = await Promise.allSettled(Array.from({ length: 80 }, () => pairs.make('ECC_NIST_P256')))
    expect(asked.map(({ status }) => status)).toEqual([...Array<string>(66).fill('fulfilled'), ...Array<string>(14).fill('rejected')])
    for (const one of asked.slice(66)) expect((one as PromiseRejectedResult).reason).toEqual(new KmsError('ThrottlingException', 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.'))
    expect((await pairs.make('ECC_NIST_P256')).privateKey.length).toBeGreaterThan(100)
  })

  it('takes no place for a spec that is not made', async () => {
    const pairs = new KeyPairs()
    for (let tried = 0; tried < 70; tried++) await expect(pairs.make('SM2')).rejects.toMatchObject({ code: 'UnsupportedOperationException' })
    for (const spec of ['SYMMETRIC_DEFAULT', 'HMAC_256', '__proto__']) await expect(pairs.make(spec)).rejects.toMatchObject({ code: 'UnsupportedOperationException' })
    await pairs.make('ECC_NIST_EDWARDS25519')
  })
})
