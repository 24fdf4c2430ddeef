/* Reads the control file and acts on it. The file, one setting a line ('*' stands for every function):

     process PID                      the rest is for this process only
     latency NAME MICROSECONDS JITTER
     fail NAME CKR PROBABILITY TIMES  TIMES 0 is without end; counted in each process
     hang NAME                        until the file says otherwise; FILE.hanging gets a line "PID NAME" for each call
     abort NAME
     wrong NAME                       C_GenerateRandom, C_Sign: zeroes; C_Decrypt: CKR_OK and zeroes for what the token refuses
     dead CKR EVENT                   every call, until C_Initialize; a higher EVENT is a new death
     serial                           one call at a time
     sessions N                       open at once, of this process
     objects N                        made less destroyed, by this process
     iv cloudhsm|luna                 who makes the IV of CKM_AES_GCM; cloudhsm has its own number for RFC 5649, too
     flags SET CLEARED                in the flags of each CK_TOKEN_INFO
     twin                             the first slot is listed twice: two tokens of one label and serial
     login-answers CKR                instead of what the token answers to C_Login, unless that is CKR_OK
     login-dies                       a process ends when the token has seen its C_Login, before it hears the answer

   Each C_Login that comes to the module gets a line "PID USER" in FILE.logins before anything else is done about it.

   It is replaced by rename; each call looks at its inode and times, which costs about a microsecond. */
#define _GNU_SOURCE
#include "faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct fault {
  long latency, jitter;
  CK_RV ckr;
  double probability;
  long times;
  atomic_long failed;
  int hang, abort, wrong;
};

/* One reading of the file. It is never freed: a call on its way may still look at it. */
struct faults {
  struct fault of[function_count];
  long limit[resource_count];
  int serial, login_dies, twin;
  enum iv_convention iv;
  CK_FLAGS flags_set, flags_cleared;
  CK_RV login_answers;
  CK_RV dead_with;
  long long death;
};

static const char *const names[function_count] = {
#define CK_PKCS11_FUNCTION_INFO(name) [number_##name] = #name,
#include <pkcs11/pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
};

static const CK_RV when_full[resource_count] = {[sessions] = CKR_SESSION_COUNT, [objects] = CKR_DEVICE_MEMORY};

static struct faults none = {.limit = {-1, -1, -1}};
static _Atomic(struct faults *) current = &none;
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static atomic_long used[resource_count];
/* The last death that this process has heard of, and what its calls answer since. */
static long long last_death;
static _Atomic CK_RV dead_with = CKR_OK;

void refuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("chaos: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  abort();
}

static int can_be_wrong(const char *line) {
  char name[64];
  if (sscanf(line, "wrong %63s", name) != 1) return 0;
  return strcmp(name, "C_GenerateRandom") == 0 || strcmp(name, "C_Sign") == 0 || strcmp(name, "C_Decrypt") == 0;
}

/* Answers whether the line is whole. */
static int set_fault(struct fault *fault, const char *kind, const char *line) {
  if (strcmp(kind, "latency") == 0) return sscanf(line, "latency %*s %ld %ld", &fault->latency, &fault->jitter) == 2;
  if (strcmp(kind, "fail") == 0) return sscanf(line, "fail %*s %lu %lf %ld", &fault->ckr, &fault->probability, &fault->times) == 3;
  if (strcmp(kind, "hang") == 0) return fault->hang = 1;
  if (strcmp(kind, "abort") == 0) return fault->abort = 1;
  if (strcmp(kind, "wrong") == 0) return fault->wrong = can_be_wrong(line);
  return 0;
}

/* A line about one function or all of them. Answers whether it is one. */
static int read_fault(struct faults *faults, const char *line) {
  char kind[16], name[64];
  int known = 0;
  if (sscanf(line, "%15s %63s", kind, name) != 2) return 0;
  for (int i = 0; i < function_count; i++) {
    if (strcmp(name, "*") == 0 || strcmp(name, names[i]) == 0) known |= set_fault(&faults->of[i], kind, line);
  }
  return known;
}

static int read_setting(struct faults *faults, const char *line) {
  char word[16] = "";
  if (sscanf(line, "dead %lu %lld", &faults->dead_with, &faults->death) == 2) return 1;
  if (sscanf(line, "sessions %ld", &faults->limit[sessions]) == 1) return 1;
  if (sscanf(line, "objects %ld", &faults->limit[objects]) == 1) return 1;
  if (sscanf(line, "login-answers %lu", &faults->login_answers) == 1) return 1;
  if (sscanf(line, "flags %lu %lu", &faults->flags_set, &faults->flags_cleared) == 2) return 1;
  if (sscanf(line, "iv %15s", word) == 1) {
    faults->iv = strcmp(word, "cloudhsm") == 0 ? iv_cloudhsm : strcmp(word, "luna") == 0 ? iv_luna : iv_by_caller;
    return faults->iv != iv_by_caller;
  }
  if (sscanf(line, "%15s", word) == 1 && strcmp(word, "serial") == 0) return faults->serial = 1;
  if (strcmp(word, "twin") == 0) return faults->twin = 1;
  if (strcmp(word, "login-dies") == 0) return faults->login_dies = 1;
  return 0;
}

static struct faults *read_file(FILE *file) {
  char line[256];
  long process;
  struct faults *faults = malloc(sizeof *faults);
  if (faults == NULL) refuse("no memory");
  *faults = none;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "process %ld", &process) == 1) {
      if (process != getpid()) break;
    } else if (!read_fault(faults, line) && !read_setting(faults, line)) refuse("the control file says: %s", line);
  }
  return faults;
}

static void read_control(void) {
  static struct stat seen;
  const char *path = getenv("TRENT_CHAOS_CONTROL");
  struct stat now;
  if (path == NULL || stat(path, &now) != 0) return;
  pthread_mutex_lock(&reading);
  if (now.st_ino != seen.st_ino || now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) {
    FILE *file = fopen(path, "re");
    if (file == NULL) refuse("%s cannot be read", path);
    struct faults *faults = read_file(file);
    fclose(file);
    if (faults->death > last_death) {
      last_death = faults->death;
      dead_with = faults->dead_with;
    }
    current = faults;
    seen = now;
  }
  pthread_mutex_unlock(&reading);
}

static void nap(long microseconds) {
  struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
  while (nanosleep(&time, &time) != 0);
}

/* Adds a line to a file beside the control file: one write, so that lines of several processes do not mix. */
static void note(const char *suffix, const char *word) {
  char path[4096], line[128];
  snprintf(path, sizeof path, "%s.%s", getenv("TRENT_CHAOS_CONTROL"), suffix);
  int length = snprintf(line, sizeof line, "%d %s\n", getpid(), word);
  int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || write(file, line, (size_t)length) != length) refuse("%s cannot be written", path);
  close(file);
}

void note_login(CK_USER_TYPE user) {
  if (getenv("TRENT_CHAOS_CONTROL") != NULL) note("logins", user == CKU_USER ? "user" : user == CKU_SO ? "so" : "other");
}

/* From 0 to below 1. Each thread has its own sequence. */
static double chance(void) {
  static __thread unsigned short state[3];
  if (state[0] == 0) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    state[0] = (unsigned short)now.tv_nsec | 1;
    state[1] = (unsigned short)getpid();
    state[2] = (unsigned short)((size_t)&state >> 6);
  }
  return erand48(state);
}

static CK_RV take(struct need need, const struct faults *faults) {
  if (need.amount <= 0) return CKR_OK;
  long limit = faults->limit[need.resource];
  if (atomic_fetch_add(&used[need.resource], need.amount) + need.amount <= limit || limit < 0) return CKR_OK;
  atomic_fetch_sub(&used[need.resource], need.amount);
  return when_full[need.resource];
}

CK_RV enter(struct passage *passage, enum function function, struct need need) {
  read_control();
  *passage = (struct passage){{no_resource, 0}, current->serial};
  if (current->of[function].abort) refuse("abort in %s", names[function]);
  if (passage->serial) pthread_mutex_lock(&one_at_a_time);
  /* For tests that must know before they go on. */
  if (current->of[function].hang) note("hanging", names[function]);
  for (; current->of[function].hang; read_control()) nap(5000);
  struct faults *faults = current;
  struct fault *fault = &faults->of[function];
  if (fault->latency > 0 || fault->jitter > 0) nap(fault->latency + (long)(chance() * (double)fault->jitter));
  if (function != number_C_Initialize && function != number_C_Finalize && dead_with != CKR_OK) return dead_with;
  if (fault->probability > 0 && chance() < fault->probability
      && (fault->times == 0 || atomic_fetch_add(&fault->failed, 1) < fault->times)) return fault->ckr;
  CK_RV room = take(need, faults);
  if (room == CKR_OK) passage->need = need;
  return room;
}

void leave(struct passage *passage, CK_RV answer) {
  struct need need = passage->need;
  /* What was taken for a call that failed goes back; what a call gives back counts when it succeeded. */
  if (need.amount > 0 && answer != CKR_OK) atomic_fetch_sub(&used[need.resource], need.amount);
  if (need.amount < 0 && answer == CKR_OK) atomic_fetch_add(&used[need.resource], need.amount);
  if (passage->serial) pthread_mutex_unlock(&one_at_a_time);
}

void forget_sessions(void) {
  used[sessions] = 0;
}

void come_alive(void) {
  used[sessions] = 0;
  used[objects] = 0;
  dead_with = CKR_OK;
}

CK_RV end_login(CK_RV answer) {
  if (current->login_dies) kill(getpid(), SIGKILL);
  return answer != CKR_OK && current->login_answers != CKR_OK ? current->login_answers : answer;
}

int lists_twin(void) {
  return current->twin;
}

void change_flags(CK_FLAGS *flags) {
  *flags = (*flags | current->flags_set) & ~current->flags_cleared;
}

enum iv_convention current_iv_convention(void) {
  return current->iv;
}

int is_wrong(enum function function) {
  return current->of[function].wrong;
}
