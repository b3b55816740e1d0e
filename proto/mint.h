#pragma once
/* What a peer makes up itself: random tokens and task ids. */
#include <stddef.h>
#include <stdint.h>

enum { MINT_UUID_SIZE = 16, MINT_UUID_TEXT = 37, MINT_STORE = 4096 };

/* Random bytes, fetched for many at once: what the kernel takes for them is by the call. Zeroed: an
 * empty one. */
struct mint {
    size_t left;
    uint8_t bytes[MINT_STORE];
};

/* 0 or -errno: the kernel gives no random bytes. */
int mint_bytes(void *bytes, size_t size);
/* The same out of a store; each byte is given once. At most MINT_STORE. */
int mint_take(struct mint *self, void *bytes, size_t size);
/* Random bytes become a version 4 UUID's text, in lower case and with its NUL. */
void mint_uuid(const uint8_t bytes[MINT_UUID_SIZE], char text[MINT_UUID_TEXT]);
