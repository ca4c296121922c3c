/* The device's side of encrypted inference. Generated from targets/he-core-c/src/lib.rs. */

#ifndef HE_CORE_H
#define HE_CORE_H

#include <stddef.h>
#include <stdint.h>

// Coefficients of one ciphertext.
#define HE_DEGREE 4096

// Bytes of a packed edge secret.
#define HE_SECRET_BYTES 1024

// The most numbers that an answer may have.
#define HE_ENTRIES 16

// Numbers that one ciphertext holds.
#define HE_SLOTS 2048

// The primes of a ciphertext: 134176769, 67084289, 67043329.
#define HE_SLOTS_PRIMES 3

// The largest absolute value of a slot.
#define HE_SLOTS_BOUND 536870400

// Bytes of a packed limb modulo the first prime.
#define HE_SLOTS_LIMB_BYTES 13824

// How a call ended.
typedef enum {
  // As it should.
  HE_STATUS_OK = 0,
  // A pointer is null or not aligned, or a number is out of range.
  HE_STATUS_ARGUMENT = 1,
  // The caller's function for the link failed.
  HE_STATUS_LINK = 2,
  // What arrived was altered, or is for another key, exchange or parameter set.
  HE_STATUS_FRAME = 3,
  // The server refuses: `HeAnswer.refusal` says why.
  HE_STATUS_REFUSED = 4,
} HeStatus;

// What the key authority gave the device. Keep it where only the firmware can read it, and erase it with `he_wipe`.
typedef struct {
  // What frames are authenticated with.
  uint8_t transport[32];
  // What the seeds of messages are derived from.
  uint8_t messages[32];
  // The edge secret, two bits a coefficient.
  uint8_t secret[HE_SECRET_BYTES];
} HeDevice;

// Receives exactly `length` bytes; 0 if it could.
typedef int32_t (*HeRead)(void *context, uint8_t *bytes, size_t length);

// Memory for one call: 52 KB, needed only while it lasts, and without secrets after it.
typedef struct {
  uint32_t secrets[2][HE_DEGREE];
  uint32_t limb[HE_DEGREE];
  int8_t errors[HE_DEGREE];
} HeMemory;

// What makes an upload differ from every other.
typedef struct {
  // Larger than any before under this transport key; it must survive power cuts.
  uint64_t sequence;
  // Fresh random bytes.
  uint8_t fresh[32];
  // Bytes that determine the message, such as its token numbers.
  const uint8_t *digest;
  // How many there are.
  size_t digest_length;
  // How many ciphertexts there are.
  uint32_t ciphertexts;
} HeExchange;

// Coefficient `index` of message `ciphertext`, less than 2^31 - 32 in absolute value. It is asked for
// twice and must give the same number.
typedef int32_t (*HeMessage)(void *context, uint32_t ciphertext, uint32_t index);

// Sends exactly `length` bytes; 0 if it could.
typedef int32_t (*HeWrite)(void *context, const uint8_t *bytes, size_t length);

// The server works on stage `index` of `total`.
typedef void (*HeProgress)(void *context, uint32_t index, uint32_t total, uint32_t millis);

// What the server answered.
typedef struct {
  // The values are the numbers times this.
  double scale;
  // How many values there are; the last one is the canary.
  uint32_t count;
  // The server's code if it refused.
  uint32_t refusal;
  // The decrypted values. Never send them back.
  int32_t values[HE_ENTRIES];
} HeAnswer;

// The secret key, two bits a coefficient. Keep it where only the firmware can read it, and erase it with `he_wipe`.
typedef struct {
  // Four coefficients a byte.
  uint8_t packed[1024];
} HeSlotsSecret;

// Memory for one call: 33 KB, needed only while it lasts, and without secrets after it.
typedef struct {
  uint32_t message[HE_DEGREE];
  uint32_t limb[HE_DEGREE];
  uint8_t ternary[1024];
} HeSlotsMemory;

// What is to be encrypted, and what makes it differ from every other message.
typedef struct {
  // What seeds of messages are derived from: secret, and for nothing else.
  uint8_t key[32];
  // Larger than any before under this key; it must survive power cuts.
  uint64_t sequence;
  // Fresh random bytes.
  uint8_t fresh[32];
  // The numbers in fixed point, each at most `HE_SLOTS_BOUND` in absolute value.
  const int32_t *slots;
  // How many there are, at most `HE_SLOTS`; the others are zero.
  size_t count;
  // How many bits encryption cuts off behind the point, at most 29.
  uint32_t shift;
} HeSlotsMessage;

// A public key; it may lie in flash.
typedef struct {
  // What its mask is expanded from.
  uint8_t mask[32];
  // Its body: residues in evaluation form, `HE_DEGREE` modulo each prime.
  const uint32_t *body;
} HeSlotsPublicKey;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Reads the secrets of the device from a link that both sides trust.
//
// # Safety
// `device` is null, or points to memory that nothing else uses during the call; `read` may be called with `context`.
HeStatus he_provision(HeDevice *device,
                      HeRead read,
                      void *context);

// Encrypts messages and sends the upload as it is made.
//
// # Safety
// Pointers are null, or point to memory that nothing changes during the call, `memory` to memory that nothing else uses;
// `exchange->digest` has `digest_length` bytes; the functions may be called with their contexts.
HeStatus he_upload(const HeDevice *device,
                   HeMemory *memory,
                   const HeExchange *exchange,
                   HeMessage message,
                   HeWrite write,
                   void *context);

// Waits for the answer to an upload and decrypts it.
//
// # Safety
// As for `he_upload`; `progress` may be null.
HeStatus he_answer(const HeDevice *device,
                   HeMemory *memory,
                   uint64_t sequence,
                   HeRead read,
                   HeProgress progress,
                   void *context,
                   HeAnswer *answer);

// Erases bytes so that no optimisation leaves them.
//
// # Safety
// `bytes` is null, or points to `length` bytes that nothing else uses.
void he_wipe(void *bytes, size_t length);

// Makes the secret that belongs to 32 random bytes.
//
// # Safety
// `secret` is null, or points to memory that nothing else uses; `seed` is null, or points to 32 bytes.
HeStatus he_slots_secret(HeSlotsSecret *secret,
                         const uint8_t (*seed)[32]);

// Makes a public key and writes its body, packed: a limb modulo each prime, in evaluation form. `mask` and `errors` are 32
// random bytes each, for this key and nothing else; the mask is public.
//
// # Safety
// Pointers are null, or point to memory that nothing changes during the call, `memory` to memory that nothing else uses;
// `write` may be called with `context`.
HeStatus he_slots_public_key(const HeSlotsSecret *secret,
                             const uint8_t (*mask)[32],
                             const uint8_t (*errors)[32],
                             HeSlotsMemory *memory,
                             HeWrite write,
                             void *context);

// Encrypts under the secret key and writes the seed of the mask, 32 bytes, and the body, packed: a limb modulo each prime, in
// coefficients.
//
// # Safety
// As for `he_slots_public_key`; `message->slots` has `count` numbers.
HeStatus he_slots_encrypt(const HeSlotsSecret *secret,
                          const HeSlotsMessage *message,
                          HeSlotsMemory *memory,
                          HeWrite write,
                          void *context);

// Encrypts under a public key and writes the mask modulo each prime and then the body modulo each prime, packed, in coefficients.
//
// # Safety
// As for `he_slots_encrypt`; `key->body` has `HE_SLOTS_PRIMES * HE_DEGREE` residues.
HeStatus he_slots_encrypt_public(const HeSlotsPublicKey *key,
                                 const HeSlotsMessage *message,
                                 HeSlotsMemory *memory,
                                 HeWrite write,
                                 void *context);

// Decrypts what a server returns modulo the first prime: mask and body, each `HE_SLOTS_LIMB_BYTES` packed bytes in evaluation
// form. The slots come with `up` more bits behind the point than the ciphertext has; `up` is less than 32. Never send them back.
//
// # Safety
// Pointers are null, or point to memory that nothing changes during the call; `memory` and `slots`, of `HE_SLOTS` numbers, are
// used by nothing else.
HeStatus he_slots_decrypt(const HeSlotsSecret *secret,
                          const uint8_t (*mask)[HE_SLOTS_LIMB_BYTES],
                          const uint8_t (*body)[HE_SLOTS_LIMB_BYTES],
                          uint32_t up,
                          HeSlotsMemory *memory,
                          int32_t (*slots)[HE_SLOTS]);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HE_CORE_H */
