/* A firmware in C for a Cortex-M4F (QEMU's mps2-an386): provisioned, it encrypts a message, compares every byte that it
 * would send with what is expected, and decrypts an answer. The link and the message lie in flash here; a real
 * firmware passes functions for its UART and its embedding table. */
#include "he_core.h"

/* The library brings these; there is no C library here. */
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);

extern const uint8_t provision_start[], provision_end[], upload_start[], upload_end[];
extern const uint8_t download_start[], download_end[], messages_start[];

static HeDevice device;
static HeMemory memory;

/* Where a call is in what it reads or should write. */
typedef struct {
  const uint8_t *next, *end;
  uint32_t stages;
} Tape;

static int32_t take(void *context, uint8_t *bytes, size_t length) {
  Tape *tape = context;
  if ((size_t)(tape->end - tape->next) < length) return 1;
  memcpy(bytes, tape->next, length);
  tape->next += length;
  return 0;
}

static int32_t compare(void *context, const uint8_t *bytes, size_t length) {
  Tape *tape = context;
  if ((size_t)(tape->end - tape->next) < length || memcmp(bytes, tape->next, length) != 0) return 1;
  tape->next += length;
  return 0;
}

static int32_t message(void *context, uint32_t ciphertext, uint32_t index) {
  (void)context;
  int32_t value;
  memcpy(&value, messages_start + 4 * (HE_DEGREE * ciphertext + index), sizeof value);
  return value;
}

static void progress(void *context, uint32_t index, uint32_t total, uint32_t millis) {
  (void)index, (void)total, (void)millis;
  ((Tape *)context)->stages++;
}

static int provisions(void) {
  Tape tape = {provision_start, provision_end, 0};
  return he_provision(&device, take, &tape) == HE_STATUS_OK && tape.next == tape.end;
}

static int encrypts_the_same_bytes_as_rust(void) {
  static const uint8_t ids[] = {2, 0, 5, 0, 9, 0, 1, 0, 7, 0, 7, 0, 15, 0, 4, 0, 0, 0, 11, 0, 3, 0};
  HeExchange exchange = {.sequence = 1, .digest = ids, .digest_length = sizeof ids, .ciphertexts = 2};
  memset(exchange.fresh, 4, sizeof exchange.fresh);
  Tape tape = {upload_start, upload_end, 0};
  HeStatus status = he_upload(&device, &memory, &exchange, message, compare, &tape);
  return status == HE_STATUS_OK && tape.next == tape.end;
}

static int decrypts_the_answer(void) {
  Tape tape = {download_start, download_end, 0};
  HeAnswer answer;
  HeStatus status = he_answer(&device, &memory, 1, take, progress, &tape, &answer);
  return status == HE_STATUS_OK && tape.stages == 1 && answer.count == 3 &&
         answer.values[0] == 0.75 * answer.scale && answer.values[1] == -1.25 * answer.scale &&
         answer.values[2] == answer.scale;
}

static int leaves_no_secret(void) {
  for (size_t i = 0; i < sizeof memory.secrets / 4; i++)
    if ((&memory.secrets[0][0])[i] != 0) return 0;
  he_wipe(&device, sizeof device);
  for (size_t i = 0; i < sizeof device; i++)
    if (((const uint8_t *)&device)[i] != 0) return 0;
  return 1;
}

/* Semihosting, Arm IHI 0100: operations 4 (write a string) and 32 (exit with a status). */
static void semihost(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static _Noreturn void leave(uint32_t status) {
  const uint32_t block[] = {0x20026, status};
  for (;;) semihost(32, block);
}

_Noreturn void he_panic(void) {
  semihost(4, "panic\n");
  leave(101);
}

int main(void) {
  static const struct {
    const char *name;
    int (*holds)(void);
  } tests[] = {
      {"provisions", provisions},
      {"encrypts_the_same_bytes_as_rust", encrypts_the_same_bytes_as_rust},
      {"decrypts_the_answer", decrypts_the_answer},
      {"leaves_no_secret", leaves_no_secret},
  };
  uint32_t passed = 0, failed = 0;
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    int holds = tests[i].holds();
    *(holds ? &passed : &failed) += 1;
    semihost(4, "test ");
    semihost(4, tests[i].name);
    semihost(4, holds ? " ... ok\n" : " ... FAILED\n");
  }
  char result[] = "test result: 0 passed; 0 failed\n";
  result[13] += passed;
  result[23] += failed;
  semihost(4, result);
  leave(failed);
}
