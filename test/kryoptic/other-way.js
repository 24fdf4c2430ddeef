// Run by post-quantum.kryoptic.test.ts in a process of its own: the token with public keys that are not its own, by Trent's own calls.
// argv: JSON with library, pin and work, a list of { verify: { publicKey, set, message, signature } } and { encapsulate: { publicKey, set, ciphertextBytes } },
// bytes in hex. Prints a list: whether it verifies; secret and ciphertext.
import pkcs11 from 'pkcs11js'
import { secretAttributes } from '../../dist/hsm/agent/encapsulation.js'
import { newer, newerKeyTypes } from '../../dist/hsm/agent/newer.js'
import { Session } from '../../dist/hsm/agent/session.js'

const { library, pin, work } = JSON.parse(process.argv[2])
const bytes = text => Buffer.from(text, 'hex')
const p11 = new pkcs11.PKCS11()
p11.load(library)
p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const session = new Session(p11, p11.C_OpenSession(p11.C_GetSlotList(true)[0], pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION))
p11.C_Login(session.handle, pkcs11.CKU_USER, pin)

const publicKey = (keyType, use, set, value) => session.create({ CLASS: pkcs11.CKO_PUBLIC_KEY, KEY_TYPE: keyType, TOKEN: false, PRIVATE: false, PARAMETER_SET: set, VALUE: bytes(value), ...use })

const results = work.map(({ verify, encapsulate }) => {
  if (verify !== undefined) {
    const key = publicKey(newerKeyTypes.ML_DSA, { VERIFY: true }, verify.set, verify.publicKey)
    return session.verify({ mechanism: newer.ML_DSA }, key, bytes(verify.message), bytes(verify.signature))
  }
  const key = publicKey(newerKeyTypes.ML_KEM, { ENCAPSULATE: true }, encapsulate.set, encapsulate.publicKey)
  const made = session.encapsulate(key, secretAttributes, encapsulate.ciphertextBytes)
  return { secret: session.get(made.secret, 'VALUE').toString('hex'), ciphertext: made.ciphertext.toString('hex') }
})
process.stdout.write(JSON.stringify(results))
p11.C_Finalize()
