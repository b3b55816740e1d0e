#pragma once
/* An objects_t from within. */
#include "common/objects/objects.h"
#include "common/objects/wire.h"

struct objects {
    struct wire wire;
    struct exchange *plain; /* of calls that make one request after the other */
    uint64_t part_bytes;
    uint32_t parallel;
};

/* 0, or STATUS_INVALID with a word about it. */
int store_check(objects_t *self, const char *bucket, const char *key);
