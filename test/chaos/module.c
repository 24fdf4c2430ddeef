/* A PKCS#11 module between Trent and a real one, for the tests: every function of v2.40 goes through to the module that
   TRENT_CHAOS_MODULE names, past the faults that the file of TRENT_CHAOS_CONTROL sets (faults.c). */
#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define visible __attribute__((visibility("default")))

static CK_FUNCTION_LIST_PTR real;

#define FORWARD(name, parameters, arguments, resource, amount)                      \
  static CK_RV chaos_##name parameters {                                            \
    struct passage passage;                                                         \
    CK_RV answer = enter(&passage, number_##name, (struct need){resource, amount}); \
    if (answer == CKR_OK) answer = real->name arguments;                            \
    leave(&passage, answer);                                                        \
    return answer;                                                                  \
  }
#define PASS(name, parameters, arguments) FORWARD(name, parameters, arguments, no_resource, 0)

/* --- The life of the module, its sessions and objects: what the faults keep count of. --- */

PASS(C_GetInfo, (CK_INFO_PTR info), (info))

static CK_RV chaos_C_Initialize(CK_VOID_PTR args) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_Initialize, (struct need){no_resource, 0});
  if (answer == CKR_OK) answer = real->C_Initialize(args);
  if (answer == CKR_OK) come_alive();
  leave(&passage, answer);
  return answer;
}

PASS(C_Finalize, (CK_VOID_PTR reserved), (reserved))
FORWARD(C_OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session),
  (slot, flags, application, notify, session), sessions, 1)
FORWARD(C_CloseSession, (CK_SESSION_HANDLE session), (session), sessions, -1)

static CK_RV chaos_C_CloseAllSessions(CK_SLOT_ID slot) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_CloseAllSessions, (struct need){no_resource, 0});
  if (answer == CKR_OK) answer = real->C_CloseAllSessions(slot);
  if (answer == CKR_OK) forget_sessions();
  leave(&passage, answer);
  return answer;
}

FORWARD(C_CreateObject, (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR object),
  (session, template, count, object), objects, 1)
FORWARD(C_CopyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from, CK_ATTRIBUTE_PTR template, CK_ULONG count,
  CK_OBJECT_HANDLE_PTR object), (session, from, template, count, object), objects, 1)
FORWARD(C_DestroyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object), (session, object), objects, -1)
FORWARD(C_GenerateKey, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR template, CK_ULONG count,
  CK_OBJECT_HANDLE_PTR key), (session, mechanism, template, count, key), objects, 1)
FORWARD(C_GenerateKeyPair, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public_template, CK_ULONG public_count,
  CK_ATTRIBUTE_PTR private_template, CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key),
  (session, mechanism, public_template, public_count, private_template, private_count, public_key, private_key), objects, 2)
/* CloudHSM has RFC 5649 under a number of its own; SoftHSM has it as CKM_AES_KEY_WRAP_PAD. `own` is room for what is made of it. */
static CK_MECHANISM_PTR wrapping(CK_MECHANISM_PTR mechanism, CK_MECHANISM_PTR own) {
  const CK_MECHANISM_TYPE vendors = 0x8000216f, softhsms = 0x210a;
  if (mechanism == NULL || mechanism->mechanism != vendors || current_iv_convention() != iv_cloudhsm) return mechanism;
  *own = *mechanism;
  own->mechanism = softhsms;
  return own;
}

FORWARD(C_UnwrapKey, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE unwrapping_key, CK_BYTE_PTR wrapped,
  CK_ULONG wrapped_length, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR key),
  (session, wrapping(mechanism, &(CK_MECHANISM){0}), unwrapping_key, wrapped, wrapped_length, template, count, key), objects, 1)
FORWARD(C_DeriveKey, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR template,
  CK_ULONG count, CK_OBJECT_HANDLE_PTR key),
  (session, mechanism, base, template, count, key), objects, 1)

/* --- AES-GCM under the IV conventions of vendors. ---
   cloudhsm: twelve zero bytes in; the HSM makes the IV and writes it where the caller's pIv points, when the data is encrypted.
   luna (FIPS mode): no IV in; sixteen bytes of IV stand behind the tag. Decryption takes the IV from the caller in both. */

#define cloudhsm_iv_bytes 12
#define luna_iv_bytes 16

/* The encryption that a session has under way. */
struct gcm {
  CK_SESSION_HANDLE session;
  enum iv_convention convention;
  CK_BYTE_PTR caller_iv;
  CK_BYTE iv[luna_iv_bytes];
  struct gcm *next;
};

/* One entry for each session that ever encrypted so. It belongs to the session's thread; only the list is shared. */
static struct gcm *gcms;
static pthread_mutex_t gcm_list = PTHREAD_MUTEX_INITIALIZER;

static struct gcm *gcm_of(CK_SESSION_HANDLE session) {
  pthread_mutex_lock(&gcm_list);
  struct gcm *found = gcms;
  while (found != NULL && found->session != session) found = found->next;
  if (found == NULL) {
    found = calloc(1, sizeof *found);
    if (found == NULL) refuse("no memory");
    found->session = session;
    found->next = gcms;
    gcms = found;
  }
  pthread_mutex_unlock(&gcm_list);
  return found;
}

static int is_zero_iv(const CK_GCM_PARAMS *parameters) {
  static const CK_BYTE zeroes[cloudhsm_iv_bytes];
  return parameters->ulIvLen == sizeof zeroes && parameters->pIv != NULL && memcmp(parameters->pIv, zeroes, sizeof zeroes) == 0;
}

/* Begins with an IV of the module's own, as the HSM would. */
static CK_RV begin_gcm(struct gcm *gcm, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  CK_GCM_PARAMS own = *(CK_GCM_PARAMS *)mechanism->pParameter;
  CK_ULONG length = gcm->convention == iv_cloudhsm ? cloudhsm_iv_bytes : luna_iv_bytes;
  if (gcm->convention == iv_cloudhsm ? !is_zero_iv(&own) : own.ulIvLen != 0) return CKR_MECHANISM_PARAM_INVALID;
  if (getrandom(gcm->iv, length, 0) != (ssize_t)length) return CKR_DEVICE_ERROR;
  gcm->caller_iv = own.pIv;
  own.pIv = gcm->iv;
  own.ulIvLen = length;
  own.ulIvBits = length * 8;
  return real->C_EncryptInit(gcm->session, &(CK_MECHANISM){CKM_AES_GCM, &own, sizeof own}, key);
}

static CK_RV chaos_C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_EncryptInit, (struct need){no_resource, 0});
  if (answer == CKR_OK) {
    struct gcm *gcm = gcm_of(session);
    int is_gcm = mechanism != NULL && mechanism->mechanism == CKM_AES_GCM && mechanism->pParameter != NULL;
    gcm->convention = is_gcm ? current_iv_convention() : iv_by_caller;
    answer = gcm->convention == iv_by_caller ? real->C_EncryptInit(session, mechanism, key) : begin_gcm(gcm, mechanism, key);
  }
  leave(&passage, answer);
  return answer;
}

/* Room for the IV is kept back from the real module, so that its own answer to a short buffer is right. */
static CK_RV encrypt_and_append(struct gcm *gcm, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR out, CK_ULONG_PTR out_length) {
  CK_ULONG room = *out_length < luna_iv_bytes ? 0 : *out_length - luna_iv_bytes;
  CK_RV answer = real->C_Encrypt(gcm->session, data, data_length, out, &room);
  if (answer == CKR_OK && out != NULL) memcpy(out + room, gcm->iv, luna_iv_bytes);
  *out_length = room + luna_iv_bytes;
  return answer;
}

static CK_RV chaos_C_Encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR out, CK_ULONG_PTR out_length) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_Encrypt, (struct need){no_resource, 0});
  if (answer == CKR_OK) {
    struct gcm *gcm = gcm_of(session);
    if (gcm->convention == iv_luna) answer = encrypt_and_append(gcm, data, data_length, out, out_length);
    else answer = real->C_Encrypt(session, data, data_length, out, out_length);
    if (gcm->convention == iv_cloudhsm && answer == CKR_OK && out != NULL) memcpy(gcm->caller_iv, gcm->iv, cloudhsm_iv_bytes);
  }
  leave(&passage, answer);
  return answer;
}

/* --- A token that breaks the rules: what it answers looks right. --- */

static CK_RV chaos_C_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG length) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_GenerateRandom, (struct need){no_resource, 0});
  if (answer == CKR_OK) answer = real->C_GenerateRandom(session, out, length);
  if (answer == CKR_OK && is_wrong(number_C_GenerateRandom)) memset(out, 0, length);
  leave(&passage, answer);
  return answer;
}

static CK_RV chaos_C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR out, CK_ULONG_PTR length) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_Sign, (struct need){no_resource, 0});
  if (answer == CKR_OK) answer = real->C_Sign(session, data, data_length, out, length);
  if (answer == CKR_OK && out != NULL && is_wrong(number_C_Sign)) memset(out, 0, *length);
  leave(&passage, answer);
  return answer;
}

#define tag_bytes 16

static CK_RV chaos_C_Decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_length, CK_BYTE_PTR out, CK_ULONG_PTR length) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_Decrypt, (struct need){no_resource, 0});
  if (answer == CKR_OK) {
    answer = real->C_Decrypt(session, data, data_length, out, length);
    if (answer != CKR_OK && is_wrong(number_C_Decrypt) && out != NULL && data_length > tag_bytes) {
      *length = data_length - tag_bytes;
      memset(out, 0, *length);
      answer = CKR_OK;
    }
  }
  leave(&passage, answer);
  return answer;
}

/* --- What only goes through, by the shape of its arguments. --- */

#define PASS_SESSION(name) PASS(name, (CK_SESSION_HANDLE session), (session))
#define PASS_KEY(name) PASS(name, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key), (session, mechanism, key))
#define PASS_IN(name) PASS(name, (CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG length), (session, in, length))
#define PASS_OUT(name) PASS(name, (CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR length), (session, out, length))
#define PASS_IN_OUT(name)                                                                                                         \
  PASS(name, (CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_length, CK_BYTE_PTR out, CK_ULONG_PTR out_length),           \
    (session, in, in_length, out, out_length))
#define PASS_TEMPLATE(name)                                                                                                       \
  PASS(name, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template, CK_ULONG count),                     \
    (session, object, template, count))


static CK_RV chaos_C_GetSlotList(CK_BBOOL with_token, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_GetSlotList, (struct need){no_resource, 0});
  if (answer == CKR_OK) {
    CK_ULONG twins = lists_twin() ? 1 : 0;
    if (slots != NULL && *count >= twins) *count -= twins;
    answer = real->C_GetSlotList(with_token, slots, count);
    if (answer == CKR_OK && slots != NULL && twins > 0) slots[*count] = slots[0];
    *count += twins;
  }
  leave(&passage, answer);
  return answer;
}

PASS(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))

static CK_RV chaos_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  struct passage passage;
  CK_RV answer = enter(&passage, number_C_GetTokenInfo, (struct need){no_resource, 0});
  if (answer == CKR_OK) answer = real->C_GetTokenInfo(slot, info);
  if (answer == CKR_OK) change_flags(&info->flags);
  leave(&passage, answer);
  return answer;
}

PASS(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR mechanisms, CK_ULONG_PTR count), (slot, mechanisms, count))
PASS(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info), (slot, type, info))
PASS(C_InitToken, (CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG length, CK_UTF8CHAR_PTR label), (slot, pin, length, label))
PASS(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved), (flags, slot, reserved))
PASS_IN(C_InitPIN)
PASS(C_SetPIN, (CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR former, CK_ULONG former_length, CK_UTF8CHAR_PTR pin, CK_ULONG length),
  (session, former, former_length, pin, length))

static CK_RV chaos_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  struct passage passage;
  note_login(user);
  CK_RV answer = enter(&passage, number_C_Login, (struct need){no_resource, 0});
  if (answer == CKR_OK) answer = end_login(real->C_Login(session, user, pin, length));
  leave(&passage, answer);
  return answer;
}

PASS_SESSION(C_Logout)
PASS(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info), (session, info))
PASS_OUT(C_GetOperationState)
PASS(C_SetOperationState, (CK_SESSION_HANDLE session, CK_BYTE_PTR state, CK_ULONG length, CK_OBJECT_HANDLE cipher_key,
  CK_OBJECT_HANDLE mac_key), (session, state, length, cipher_key, mac_key))

PASS(C_GetObjectSize, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG_PTR size), (session, object, size))
PASS_TEMPLATE(C_GetAttributeValue)
PASS_TEMPLATE(C_SetAttributeValue)
PASS(C_FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count), (session, template, count))
PASS(C_FindObjects, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR found, CK_ULONG most, CK_ULONG_PTR count),
  (session, found, most, count))
PASS_SESSION(C_FindObjectsFinal)

PASS_IN_OUT(C_EncryptUpdate)
PASS_OUT(C_EncryptFinal)
PASS_KEY(C_DecryptInit)
PASS_IN_OUT(C_DecryptUpdate)
PASS_OUT(C_DecryptFinal)
PASS(C_DigestInit, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism), (session, mechanism))
PASS_IN_OUT(C_Digest)
PASS_IN(C_DigestUpdate)
PASS(C_DigestKey, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key), (session, key))
PASS_OUT(C_DigestFinal)
PASS_KEY(C_SignInit)
PASS_IN(C_SignUpdate)
PASS_OUT(C_SignFinal)
PASS_KEY(C_SignRecoverInit)
PASS_IN_OUT(C_SignRecover)
PASS_KEY(C_VerifyInit)
PASS(C_Verify, (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature, CK_ULONG signature_length),
  (session, data, length, signature, signature_length))
PASS_IN(C_VerifyUpdate)
PASS_IN(C_VerifyFinal)
PASS_KEY(C_VerifyRecoverInit)
PASS_IN_OUT(C_VerifyRecover)
PASS_IN_OUT(C_DigestEncryptUpdate)
PASS_IN_OUT(C_DecryptDigestUpdate)
PASS_IN_OUT(C_SignEncryptUpdate)
PASS_IN_OUT(C_DecryptVerifyUpdate)
PASS(C_WrapKey, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key,
  CK_BYTE_PTR out, CK_ULONG_PTR length), (session, wrapping(mechanism, &(CK_MECHANISM){0}), wrapping_key, key, out, length))
PASS_IN(C_SeedRandom)
PASS_SESSION(C_GetFunctionStatus)
PASS_SESSION(C_CancelFunction)

/* --- The door. --- */

visible CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
#define chaos_C_GetFunctionList C_GetFunctionList

static CK_FUNCTION_LIST functions = {
  {2, 40},
#define CK_PKCS11_FUNCTION_INFO(name) chaos_##name,
#include <pkcs11/pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
};

static void load_real(void) {
  const char *path = getenv("TRENT_CHAOS_MODULE");
  if (path == NULL) refuse("TRENT_CHAOS_MODULE names no module");
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) refuse("%s", dlerror());
  CK_C_GetFunctionList get_list;
  /* ISO C has no conversion from an object's pointer to a function's. */
  *(void **)&get_list = dlsym(library, "C_GetFunctionList");
  if (get_list == NULL || get_list(&real) != CKR_OK) refuse("%s is no PKCS#11 module", path);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (list == NULL) return CKR_ARGUMENTS_BAD;
  pthread_once(&once, load_real);
  *list = &functions;
  return CKR_OK;
}
