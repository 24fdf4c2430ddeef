// Run by gcm.system.test.ts: the agent's own AES-GCM on a token, under each convention for the IV. argv: JSON with library, label, pin,
// gcmIv, key (an AES key's value in hex, so that the test can check with other means), name, context and steps. Prints for each step its
// result in hex, or the error.
import pkcs11 from 'pkcs11js'
import { makeSessionCanary, passes } from '../../dist/hsm/agent/canary.js'
import { decryptBlob, encryptBlob, seal, unseal } from '../../dist/hsm/agent/gcm.js'
import { Session } from '../../dist/hsm/agent/session.js'

const { library, label, pin, gcmIv, key, name, context, steps } = JSON.parse(process.argv[2])
const p11 = new pkcs11.PKCS11()
p11.load(library)
p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = p11.C_GetSlotList(true).find(one => p11.C_GetTokenInfo(one).label.trim() === label)
const session = new Session(p11, p11.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION))
p11.C_Login(session.handle, pkcs11.CKU_USER, pin)

const bytes = hex => Buffer.from(hex, 'hex')
const handle = session.create({ CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES, TOKEN: false, PRIVATE: true, ENCRYPT: true, DECRYPT: true, VALUE: bytes(key) })
const device = { session, profile: { gcmIv } }
const named = { handle, mode: 'direct', name: { multiRegion: false, keyId: bytes(name.keyId), materialId: bytes(name.materialId), backing: name.backing } }

const actions = {
  encrypt: data => encryptBlob(device, named, bytes(context), data),
  decrypt: data => decryptBlob(device, named, bytes(context), data),
  seal: data => seal(device, handle, bytes(context), data),
  unseal: data => unseal(device, handle, bytes(context), data),
  canary: () => {
    const canary = makeSessionCanary(session, gcmIv)
    const broken = { ...canary, ciphertext: Buffer.from(canary.ciphertext).fill(0, 0, 1) }
    return Buffer.from([canary, broken].map(one => (passes(one, () => session, () => undefined) ? 1 : 0)))
  },
}

console.log(JSON.stringify(steps.map(({ action, data = '' }) => {
  try {
    return { result: actions[action](bytes(data)).toString('hex') }
  } catch (error) {
    return { error: `${error.name}: ${error.message}` }
  }
})))
