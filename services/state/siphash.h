#pragma once
/* SipHash-1-3: a hash whose collisions nobody can choose who does not know the key. For tables
 * whose keys come from strangers. */
#include "common/slice.h"

enum { SIPHASH_KEY_SIZE = 16 };

uint64_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], struct slice bytes);
