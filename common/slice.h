#pragma once
/* Borrowed bytes: who hands one over keeps the bytes alive for the call, or says how long. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const void *data;
    size_t size;
};

/* A literal; SLICE_INIT is for static tables, where a compound literal is no constant. */
// clang-format off
#define SLICE_INIT(text) { (text), sizeof(text) - 1 }
// clang-format on
#define SLICE(text) ((struct slice)SLICE_INIT(text))
/* For printf("%.*s"). */
#define SLICE_ARG(s) (int)(s).size, (const char *)(s).data

static inline struct slice slice_of(const char *text)
{
    return (struct slice){ text, text ? strlen(text) : 0 };
}

static inline struct slice slice_make(const void *data, size_t size)
{
    return (struct slice){ data, size };
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_of(text));
}

/* FNV-1a, for tables in memory whose keys a stranger may choose only within a bounded table. */
uint64_t slice_hash(struct slice s);
/* The same from another start: who does not know it cannot choose what collides. */
uint64_t slice_hash_from(uint64_t start, struct slice s);

/* A copy that ends in NUL and is the caller's to free; NULL when out of memory. */
char *slice_dup(struct slice s);

/* Copies with a NUL; false (and "" in text) when it does not fit or has a NUL within. */
bool slice_copy(struct slice s, char *text, size_t size);
/* What stands before the first mark, and what behind it ({NULL, 0} when there is no mark). */
struct slice slice_until(struct slice s, char mark, struct slice *ret_rest);
