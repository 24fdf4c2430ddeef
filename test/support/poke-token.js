// Run by token.ts: what someone who has the PIN, but not Trent, can try on a token. argv: JSON with library, label, pin, action and
// what is given to it. Prints the result as JSON; an attempt's result is the CKR, 0 for success.
import koffi from 'koffi'
import pkcs11 from 'pkcs11js'

const { library, label, pin, action, given } = JSON.parse(process.argv[2])
const p11 = new pkcs11.PKCS11()
p11.load(library)
p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
const slot = p11.C_GetSlotList(true).find(one => p11.C_GetTokenInfo(one).label.trim() === label)
const session = p11.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)

const types = {
  class: pkcs11.CKA_CLASS, token: pkcs11.CKA_TOKEN, private: pkcs11.CKA_PRIVATE, label: pkcs11.CKA_LABEL, id: pkcs11.CKA_ID, keyType: pkcs11.CKA_KEY_TYPE,
  sensitive: pkcs11.CKA_SENSITIVE, extractable: pkcs11.CKA_EXTRACTABLE, modifiable: pkcs11.CKA_MODIFIABLE, encrypt: pkcs11.CKA_ENCRYPT, decrypt: pkcs11.CKA_DECRYPT,
  wrap: pkcs11.CKA_WRAP, unwrap: pkcs11.CKA_UNWRAP, sign: pkcs11.CKA_SIGN, verify: pkcs11.CKA_VERIFY, derive: pkcs11.CKA_DERIVE, value: pkcs11.CKA_VALUE,
  valueLen: pkcs11.CKA_VALUE_LEN, allowedMechanisms: 0x40000600,
}
const flags = ['token', 'private', 'sensitive', 'extractable', 'modifiable', 'encrypt', 'decrypt', 'wrap', 'unwrap', 'sign', 'verify', 'derive']
const CKM_SOFTHSM_KWP = 0x210a
const UNWRAP_TEMPLATE = 0x40000212

/** pkcs11js corrupts its heap on an undefined type: every name is looked up here. */
const template = attributes => Object.entries(attributes).map(([name, value]) => {
  if (typeof types[name] !== 'number') throw new TypeError(name)
  return { type: types[name], value: typeof value === 'string' && name !== 'label' ? Buffer.from(value, 'hex') : value }
})
const get = (handle, name) => p11.C_GetAttributeValue(session, handle, [{ type: types[name] }])[0].value
const number = (handle, name) => Number(get(handle, name).readBigUInt64LE())

function find(attributes) {
  p11.C_FindObjectsInit(session, template({ token: true, ...attributes }))
  const found = p11.C_FindObjects(session, 100)
  p11.C_FindObjectsFinal(session)
  return found
}

function one(attributes) {
  const found = find(attributes)
  if (found.length !== 1) throw new Error(`${found.length} objects with ${JSON.stringify(attributes)}`)
  return found[0]
}

/** 0, or the CKR of what was thrown. */
function attempt(run) {
  try {
    run()
    return 0
  } catch (error) {
    const code = error.code ?? Number(/:(\d+)$/.exec(error.message)?.[1])
    if (!Number.isInteger(code)) throw error
    return code
  }
}

/** CKA_UNWRAP_TEMPLATE by way of koffi: pkcs11js gives uninitialised pointers for nested attributes. */
function unwrapTemplate(handle) {
  const CkAttribute = koffi.struct({ type: 'unsigned long', pValue: 'void *', ulValueLen: 'unsigned long' })
  const getAttributeValue = koffi.load(library).func('C_GetAttributeValue', 'unsigned long', ['unsigned long', 'unsigned long', koffi.inout(koffi.pointer(CkAttribute)), 'unsigned long'])
  const size = koffi.sizeof(CkAttribute)
  const read = inner => {
    const query = [{ type: UNWRAP_TEMPLATE, pValue: inner, ulValueLen: inner?.length ?? 0 }]
    const ckr = getAttributeValue(session.readBigUInt64LE(), handle.readBigUInt64LE(), query, 1)
    if (ckr !== 0) throw new Error(`C_GetAttributeValue 0x${ckr.toString(16)}`)
    return Number(query[0].ulValueLen)
  }
  const length = read(null)
  // Without buffers the library fills in types and lengths, with them the values of the types it is given.
  const inner = Buffer.alloc(length)
  read(inner)
  const values = Array.from({ length: length / size }, () => Buffer.alloc(8))
  values.forEach((value, i) => koffi.encode(inner, i * size, CkAttribute, { type: Number(inner.readBigUInt64LE(i * size)), pValue: value, ulValueLen: value.length }))
  read(inner)
  const names = new Map(Object.entries(types).map(([name, type]) => [type, name]))
  return Object.fromEntries(values.map((value, i) => [names.get(Number(inner.readBigUInt64LE(i * size))), value[0] === 1]))
}

function describe(handle) {
  const described = {
    label: get(handle, 'label').toString(), id: get(handle, 'id').toString('hex'), class: number(handle, 'class'), keyType: number(handle, 'keyType'),
    allowedMechanisms: get(handle, 'allowedMechanisms').toString('hex'),
  }
  for (const name of flags) described[name] = get(handle, name)[0] === 1
  if (described.unwrap) described.unwrapTemplate = unwrapTemplate(handle)
  return described
}

const actions = {
  login: () => 0,
  /** A second token of the same label in the same store. */
  twin: () => attempt(() => {
    const free = p11.C_GetSlotList(true).find(one => (p11.C_GetTokenInfo(one).flags & pkcs11.CKF_TOKEN_INITIALIZED) === 0)
    p11.C_InitToken(free, '81726354', label.padEnd(32))
  }),
  serial: () => p11.C_GetTokenInfo(slot).serialNumber.trim(),
  objects: () => find({}).map(describe),
  total: () => find({}).length,
  count: ({ id }) => find({ id }).length,
  /** A second key under the CKA_ID of the first. */
  duplicate: ({ id, label: name }) => {
    p11.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, template({ token: true, private: true, sensitive: true, extractable: false, valueLen: 32, encrypt: true, decrypt: true, id, label: name }))
    return find({ id }).length
  },
  destroyKey: ({ label: name }) => attempt(() => p11.C_DestroyObject(session, one({ label: name }))),
  /** A secret key whose value the test knows, as if the token had made it for a resident plan: only uses it to sign. */
  put: ({ value, id, label: name }) => attempt(() => {
    p11.C_CreateObject(session, [
      ...template({ token: true, private: true, sensitive: true, extractable: false, sign: true, value, id, label: name }),
      { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY }, { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_GENERIC_SECRET },
    ])
  }),
  setPin: ({ to }) => attempt(() => p11.C_SetPIN(session, pin, to)),
  read: ({ label: name }) => attempt(() => get(one({ label: name }), 'value')),
  set: ({ label: name, attributes }) => attempt(() => p11.C_SetAttributeValue(session, one({ label: name }), template(attributes))),
  copy: ({ label: name, attributes }) => attempt(() => p11.C_CopyObject(session, one({ label: name }), template({ token: false, ...attributes }))),
  unwrap: ({ label: name, blob, attributes }) => attempt(() => {
    const key = p11.C_UnwrapKey(session, { mechanism: CKM_SOFTHSM_KWP }, one({ label: name }), Buffer.from(blob, 'hex'), template({ class: pkcs11.CKO_SECRET_KEY, keyType: pkcs11.CKK_AES, token: false, ...attributes }))
    if (get(key, 'extractable')[0] !== 1 && get(key, 'sensitive')[0] === 1) return
    throw new Error('a key that can be read')
  }),
  /** Wraps the named key under a fresh key of the caller's own. */
  wrap: ({ label: name }) => attempt(() => {
    const own = p11.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, template({ token: false, wrap: true, unwrap: true, valueLen: 32 }))
    p11.C_WrapKey(session, { mechanism: CKM_SOFTHSM_KWP }, own, one({ label: name }), Buffer.alloc(4096))
  }),
  /** The domain key's own blobs, opened by the block cipher alone. */
  decryptEcb: ({ label: name, blob }) => attempt(() => {
    p11.C_DecryptInit(session, { mechanism: pkcs11.CKM_AES_ECB }, one({ label: name }))
    p11.C_Decrypt(session, Buffer.from(blob, 'hex').subarray(0, 16), Buffer.alloc(16))
  }),
}

const login = attempt(() => p11.C_Login(session, pkcs11.CKU_USER, given.pin ?? pin))
console.log(JSON.stringify(login === 0 ? actions[action](given) : { login }))
