/* The faults of the pass-through module: what the control file says, and the gate that every PKCS#11 call goes through. */
#ifndef TRENT_CHAOS_FAULTS_H
#define TRENT_CHAOS_FAULTS_H

#include <pkcs11/pkcs11.h>

/* A number for every function, in the order of CK_FUNCTION_LIST. */
enum function {
#define CK_PKCS11_FUNCTION_INFO(name) number_##name,
#include <pkcs11/pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
  function_count
};

/* What a call takes from the token, or gives back when `amount` is negative. */
enum resource { no_resource, sessions, objects, resource_count };
struct need {
  enum resource resource;
  long amount;
};

enum iv_convention { iv_by_caller, iv_cloudhsm, iv_luna };

/* A call on its way through the module. */
struct passage {
  struct need need;
  int serial;
};

/* Waits, aborts or fails as the control file says. Anything but CKR_OK is the answer, and the real module is not called.
   leave() belongs to every enter() and gets the answer of the call. */
CK_RV enter(struct passage *passage, enum function function, struct need need);
void leave(struct passage *passage, CK_RV answer);

/* The token has been initialised or finalised, or all its sessions are closed: no session is open and, initialised anew,
   nothing that this process made counts any longer and a dead token is alive. */
void forget_sessions(void);
void come_alive(void);

/* Counts a login on disk, by process and user. */
void note_login(CK_USER_TYPE user);

/* The token has answered a login: what its caller hears, if it lives to. */
CK_RV end_login(CK_RV answer);

/* Whether the first slot is listed a second time. */
int lists_twin(void);

/* Of a CK_TOKEN_INFO, as the control file says. */
void change_flags(CK_FLAGS *flags);

enum iv_convention current_iv_convention(void);

/* Whether the function is to give wrong results: C_GenerateRandom, C_Sign and C_Decrypt can, see faults.c. */
int is_wrong(enum function function);

/* One sentence on stderr, and the end of the process: a fault that is not understood must not look like a passed test. */
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
