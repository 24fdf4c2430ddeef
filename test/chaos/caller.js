// A process that makes one PKCS#11 call for each line it reads, {"call", …}, and answers with a line: {"ckr", "value", "milliseconds"}.
// Tests steer it, since the process of the tests itself never loads a PKCS#11 library.
import { createInterface } from 'node:readline'
import pkcs11 from 'pkcs11js'

const p11 = new pkcs11.PKCS11()
p11.load(process.argv[2])
const label = process.argv[3]
let session, key, iv, aad

const keyTemplate = () => [
  { type: pkcs11.CKA_TOKEN, value: false }, { type: pkcs11.CKA_VALUE_LEN, value: 32 },
  { type: pkcs11.CKA_ENCRYPT, value: true }, { type: pkcs11.CKA_DECRYPT, value: true },
]
const gcm = ivBytes => {
  iv = ivBytes
  aad = Buffer.from('aad')
  return { mechanism: pkcs11.CKM_AES_GCM, parameter: { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: iv.length * 8, aad, tagBits: 128 } }
}
const slot = () => p11.C_GetSlotList(true).find(one => p11.C_GetTokenInfo(one).label.trim() === label)

const calls = {
  C_Initialize: () => { p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK }) },
  C_Finalize: () => { p11.C_Finalize() },
  C_GetInfo: () => p11.C_GetInfo().manufacturerID.trim(),
  C_OpenSession: () => { session = p11.C_OpenSession(slot(), pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION) },
  C_CloseSession: () => { p11.C_CloseSession(session) },
  C_CloseAllSessions: () => { p11.C_CloseAllSessions(slot()) },
  C_Login: ({ pin }) => { p11.C_Login(session, pkcs11.CKU_USER, pin) },
  C_GenerateRandom: () => p11.C_GenerateRandom(session, Buffer.alloc(8)).toString('hex'),
  C_GenerateKey: () => { key = p11.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, keyTemplate()) },
  C_DestroyObject: () => { p11.C_DestroyObject(session, key) },
  C_EncryptInit: ({ iv: bytes }) => { p11.C_EncryptInit(session, gcm(Buffer.from(bytes, 'hex')), key) },
  C_Encrypt: ({ data, room = 64 }) => p11.C_Encrypt(session, Buffer.from(data), Buffer.alloc(room)).toString('hex'),
  C_DecryptInit: ({ iv: bytes }) => { p11.C_DecryptInit(session, gcm(Buffer.from(bytes, 'hex')), key) },
  C_Decrypt: ({ data }) => p11.C_Decrypt(session, Buffer.from(data, 'hex'), Buffer.alloc(64)).toString(),
  /** What the module has left in the IV that the last *Init was given. */
  iv: () => iv.toString('hex'),
}

function ckrOf(error) {
  return error.code ?? Number(/:([0-9]+)$/.exec(error.message)?.[1])
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...details } = JSON.parse(line)
  const begun = performance.now()
  let answer
  try {
    answer = { ckr: 0, value: calls[call](details) ?? null }
  } catch (error) {
    answer = { ckr: ckrOf(error), value: null }
  }
  process.stdout.write(`${JSON.stringify({ ...answer, milliseconds: performance.now() - begun })}\n`)
}
