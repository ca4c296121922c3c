/* A firmware in C for a Cortex-M4F (QEMU's mps2-an386): provisioned, it encrypts a message, compares every byte that it
 * would send with what is expected, and decrypts an answer; then the same with slots, for other servers. The link and
 * the messages lie in flash here; a real firmware passes functions for its UART and its embedding table. */
#include "he_core.h"

/* The library brings these; there is no C library here. */
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);

extern const uint8_t provision_start[], provision_end[], upload_start[], upload_end[];
extern const uint8_t download_start[], download_end[], messages_start[];
extern const uint8_t slots_values_start[], slots_public_key_start[], slots_public_key_end[];
extern const uint8_t slots_secret_start[], slots_secret_end[], slots_public_start[], slots_public_end[];
extern const uint8_t slots_answer_start[], slots_decoded_start[];

static HeDevice device;
static HeMemory memory;
static HeSlotsSecret slots_secret;
static HeSlotsMemory slots_memory;
static int32_t slots_found[HE_SLOTS];

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

/* A public key on its way, packed: what is expected are its words. */
typedef struct {
  Tape words;
  uint64_t bits;
  uint32_t have, limb, residue;
} Unpacker;

static int32_t compare_residues(void *context, const uint8_t *bytes, size_t length) {
  static const uint32_t widths[HE_SLOTS_PRIMES] = {27, 26, 26};
  Unpacker *unpacker = context;
  for (size_t i = 0; i < length; i++) {
    if (unpacker->limb == HE_SLOTS_PRIMES) return 1;
    uint32_t width = widths[unpacker->limb];
    unpacker->bits |= (uint64_t)bytes[i] << unpacker->have;
    unpacker->have += 8;
    if (unpacker->have < width) continue;
    uint32_t residue = unpacker->bits & ((1u << width) - 1);
    if (compare(&unpacker->words, (const uint8_t *)&residue, sizeof residue) != 0) return 1;
    unpacker->bits >>= width;
    unpacker->have -= width;
    if (++unpacker->residue == HE_DEGREE) unpacker->residue = 0, unpacker->limb++;
  }
  return 0;
}

static HeSlotsMessage slots_message(void) {
  HeSlotsMessage message = {.sequence = 1, .count = HE_SLOTS, .shift = 4};
  memset(message.key, 4, sizeof message.key);
  memset(message.fresh, 4, sizeof message.fresh);
  message.slots = (const int32_t *)(const void *)slots_values_start;
  return message;
}

static int makes_the_same_keys_for_slots(void) {
  uint8_t seed[32], mask[32], errors[32];
  memset(seed, 2, sizeof seed);
  memset(mask, 9, sizeof mask);
  memset(errors, 10, sizeof errors);
  if (he_slots_secret(&slots_secret, (const uint8_t(*)[32])&seed) != HE_STATUS_OK) return 0;
  Unpacker unpacker = {{slots_public_key_start, slots_public_key_end, 0}, 0, 0, 0, 0};
  HeStatus status = he_slots_public_key(&slots_secret, (const uint8_t(*)[32])&mask, (const uint8_t(*)[32])&errors,
                                        &slots_memory, compare_residues, &unpacker);
  return status == HE_STATUS_OK && unpacker.words.next == unpacker.words.end;
}

static int encrypts_the_same_slots_under_the_secret_key(void) {
  HeSlotsMessage message = slots_message();
  Tape tape = {slots_secret_start, slots_secret_end, 0};
  HeStatus status = he_slots_encrypt(&slots_secret, &message, &slots_memory, compare, &tape);
  return status == HE_STATUS_OK && tape.next == tape.end;
}

static int encrypts_the_same_slots_under_the_public_key(void) {
  HeSlotsMessage message = slots_message();
  HeSlotsPublicKey key = {.body = (const uint32_t *)(const void *)slots_public_key_start};
  memset(key.mask, 9, sizeof key.mask);
  Tape tape = {slots_public_start, slots_public_end, 0};
  HeStatus status = he_slots_encrypt_public(&key, &message, &slots_memory, compare, &tape);
  return status == HE_STATUS_OK && tape.next == tape.end;
}

static int decrypts_the_same_slots(void) {
  const uint8_t *mask = slots_answer_start, *body = mask + HE_SLOTS_LIMB_BYTES;
  HeStatus status = he_slots_decrypt(&slots_secret, (const uint8_t(*)[HE_SLOTS_LIMB_BYTES])mask,
                                     (const uint8_t(*)[HE_SLOTS_LIMB_BYTES])body, 2, &slots_memory, &slots_found);
  return status == HE_STATUS_OK && memcmp(slots_found, slots_decoded_start, sizeof slots_found) == 0;
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
      {"makes_the_same_keys_for_slots", makes_the_same_keys_for_slots},
      {"encrypts_the_same_slots_under_the_secret_key", encrypts_the_same_slots_under_the_secret_key},
      {"encrypts_the_same_slots_under_the_public_key", encrypts_the_same_slots_under_the_public_key},
      {"decrypts_the_same_slots", decrypts_the_same_slots},
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
