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

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HE_CORE_H */
