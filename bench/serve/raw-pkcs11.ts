// What the token gives to who does nothing else: one session, synchronous calls, an IV from C_GenerateRandom(12), then AES-256-GCM over
// 32 bytes under a sensitive session key, which is what Trent's unwrapped keys are. Usage: raw-pkcs11.ts LIBRARY LABEL PIN-FILE SECONDS.
// Prints one line of JSON.
import { readFileSync } from 'node:fs'
import pkcs11, { type AesGCM, type Handle } from 'pkcs11js'

const [library = '', label = '', pinFile = '', seconds = '2'] = process.argv.slice(2)

const p11 = new pkcs11.PKCS11()
p11.load(library)
p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = p11.C_GetSlotList(true).find(one => p11.C_GetTokenInfo(one).label.trim() === label)
if (slot === undefined) throw new Error(`no token '${label}'`)
const session = p11.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
p11.C_Login(session, pkcs11.CKU_USER, readFileSync(pinFile, 'utf8').trim())
const key = p11.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
  { type: pkcs11.CKA_TOKEN, value: false },
  { type: pkcs11.CKA_PRIVATE, value: true },
  { type: pkcs11.CKA_SENSITIVE, value: true },
  { type: pkcs11.CKA_EXTRACTABLE, value: false },
  { type: pkcs11.CKA_ENCRYPT, value: true },
  { type: pkcs11.CKA_VALUE_LEN, value: 32 },
])

const plaintext = Buffer.alloc(32, 7)
const out = Buffer.alloc(32 + 16)
const aad = Buffer.alloc(117, 9)

function encryptOne(key: Handle): void {
  const iv = p11.C_GenerateRandom(session, Buffer.alloc(12))
  const parameter: AesGCM = { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: 96, aad, tagBits: 128 }
  p11.C_EncryptInit(session, { mechanism: pkcs11.CKM_AES_GCM, parameter }, key)
  p11.C_Encrypt(session, plaintext, out)
}

const warm = performance.now() + 300
while (performance.now() < warm) encryptOne(key)
const cpu = process.cpuUsage()
const began = performance.now()
const end = began + Number(seconds) * 1000
let operations = 0
while (performance.now() < end) {
  for (let i = 0; i < 100; i++) encryptOne(key)
  operations += 100
}
const elapsed = (performance.now() - began) / 1000
const { user, system } = process.cpuUsage(cpu)
p11.C_Finalize()
process.stdout.write(`${JSON.stringify({ perSecond: operations / elapsed, cpuMicroseconds: (user + system) / operations })}\n`)
