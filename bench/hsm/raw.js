// What the token gives to who does nothing else: so many threads with synchronous calls of pkcs11js, in a process of its own. The main
// thread initialises, logs in and makes the keys; each thread has a session. JavaScript, since each thread would else load TypeScript.
// argv: JSON with library, label, pin, threads and residentId (hex of a CKA_ID, or none). Speaks with its parent over IPC, see raw.ts.
import { once } from 'node:events'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import pkcs11 from 'pkcs11js'

const p11 = new pkcs11.PKCS11()

/** The PKCS#11 calls of one operation, the same and in the same order as the agent's. */
const operations = {
  /** An IV from the token, then AES-256-GCM over 32 bytes with a context of two pairs as AAD. */
  encrypt(session, key) {
    const iv = p11.C_GenerateRandom(session, Buffer.alloc(12))
    const parameter = { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: 96, aad, tagBits: 128 }
    p11.C_EncryptInit(session, { mechanism: pkcs11.CKM_AES_GCM, parameter }, key)
    p11.C_Encrypt(session, plaintext, Buffer.alloc(32 + 16))
  },
  /** RSASSA-PKCS1-v1_5 over the DigestInfo of a SHA-256. */
  sign(session, key) {
    p11.C_SignInit(session, { mechanism: pkcs11.CKM_RSA_PKCS }, key)
    p11.C_Sign(session, digestInfo, Buffer.alloc(256))
  },
}
const plaintext = Buffer.alloc(32, 7)
const aad = Buffer.alloc(107, 9)
const digestInfo = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), Buffer.alloc(32, 5)])

const openSession = slot => p11.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)

if (isMainThread) await serve(JSON.parse(process.argv[2]))
else work(workerData)

async function serve({ library, label, pin, threads, residentId }) {
  process.title = 'trent bench: raw pkcs11js'
  p11.load(library)
  const began = performance.now()
  p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
  const initializeMilliseconds = performance.now() - began
  const slot = p11.C_GetSlotList(true).find(one => p11.C_GetTokenInfo(one).label.trim() === label)
  const session = openSession(slot)
  p11.C_Login(session, pkcs11.CKU_USER, pin)
  const keys = threads === 0 ? {} : makeKeys(session, residentId)
  const workers = Array.from({ length: threads }, () => new Worker(new URL(import.meta.url), { workerData: { library, slot, keys } }))
  await Promise.all(workers.map(worker => once(worker, 'message')))
  process.on('message', async message => {
    if (message.type === 'filler') {
      p11.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, keyTemplate({ CKA_TOKEN: true, CKA_ID: Buffer.from('filler') }))
      process.send({})
      return
    }
    const counted = Promise.all(workers.map(worker => once(worker, 'message')))
    for (const worker of workers) worker.postMessage(message)
    process.send({ rates: (await counted).map(([rate]) => rate) })
  })
  process.send({ initializeMilliseconds })
}

function work({ library, slot, keys }) {
  p11.load(library)
  const session = openSession(Buffer.from(slot))
  parentPort.on('message', ({ operation, key: name, seconds }) => {
    const run = operations[operation]
    const key = Buffer.from(keys[name])
    const began = performance.now()
    const end = began + seconds * 1000
    let count = 0
    while (performance.now() < end) {
      run(session, key)
      count++
    }
    parentPort.postMessage(count / ((performance.now() - began) / 1000))
  })
  parentPort.postMessage('ready')
}

function makeKeys(session, residentId) {
  const wrapped = p11.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, keyTemplate({ CKA_TOKEN: false }))
  const { privateKey: rsa } = p11.C_GenerateKeyPair(session, { mechanism: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN },
    attributes({ CKA_TOKEN: false, CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: Buffer.from([1, 0, 1]) }),
    attributes({ CKA_TOKEN: false, CKA_PRIVATE: true, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_SIGN: true }))
  p11.C_FindObjectsInit(session, attributes({ CKA_TOKEN: true, CKA_CLASS: pkcs11.CKO_SECRET_KEY, CKA_ID: Buffer.from(residentId, 'hex') }))
  const [resident] = p11.C_FindObjects(session, 2)
  p11.C_FindObjectsFinal(session)
  if (resident === undefined) throw new Error('the resident key is not on the token')
  return { wrapped, resident, rsa }
}

/** As Trent's keys for AES-GCM are. */
function keyTemplate(changes) {
  return attributes({ CKA_PRIVATE: true, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_ENCRYPT: true, CKA_DECRYPT: true, CKA_VALUE_LEN: 32, ...changes })
}

/** pkcs11js corrupts its heap on an undefined type. */
function attributes(values) {
  return Object.entries(values).map(([name, value]) => {
    if (typeof pkcs11[name] !== 'number') throw new TypeError(name)
    return { type: pkcs11[name], value }
  })
}
