#include "services/state/siphash.h"

enum { WORD = 8, END_ROUNDS = 3 };

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t turn(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void round_of(struct sip *s)
{
    s->a += s->b;
    s->b = turn(s->b, 13) ^ s->a;
    s->a = turn(s->a, 32);
    s->c += s->d;
    s->d = turn(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = turn(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = turn(s->b, 17) ^ s->c;
    s->c = turn(s->c, 32);
}

/* Little-endian; what is missing is zero. */
static uint64_t word_of(const uint8_t *at, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

static void take(struct sip *s, uint64_t word)
{
    s->d ^= word;
    round_of(s);
    s->a ^= word;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], struct slice bytes)
{
    const uint64_t low = word_of(key, WORD), high = word_of(key + WORD, WORD);
    struct sip s = { low ^ 0x736f6d6570736575U, high ^ 0x646f72616e646f6dU,
                     low ^ 0x6c7967656e657261U, high ^ 0x7465646279746573U };
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    for (; left >= WORD; at += WORD, left -= WORD)
        take(&s, word_of(at, WORD));
    take(&s, word_of(at, left) | (uint64_t)(bytes.size & 0xff) << 56);
    s.c ^= 0xff;
    for (int i = 0; i < END_ROUNDS; i++)
        round_of(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
