#include "proto/endpoints.h"

#include "common/clock.h"
#include "common/slice.h"

#include <stdlib.h>
#include <sys/random.h>

enum { REST_LEAST_MS = 100, REST_MOST_MS = 2000, ROUNDS_DOUBLING = 4 };

bool endpoints_init(struct endpoints *self, const char *list)
{
    char *save = NULL;
    *self = (struct endpoints){ .list = slice_dup(slice_of(list)), .dice = (uint64_t)clock_ns() };
    (void)!getrandom(&self->dice, sizeof self->dice, GRND_NONBLOCK); /* else the clock's will do */
    if (!self->list)
        return false;
    for (char *e = strtok_r(self->list, ", ", &save); e; e = strtok_r(NULL, ", ", &save)) {
        if (self->count == ENDPOINTS_MAX)
            return false;
        self->items[self->count++] = e;
    }
    return self->count > 0;
}

void endpoints_clear(struct endpoints *self)
{
    free(self->list);
    *self = (struct endpoints){ 0 };
}

const char *endpoints_current(const struct endpoints *self)
{
    return self->items[self->at];
}

/* xorshift: good enough to spread peers */
static int64_t roll(struct endpoints *self, int64_t sides)
{
    self->dice |= 1;
    self->dice ^= self->dice << 13;
    self->dice ^= self->dice >> 7;
    self->dice ^= self->dice << 17;
    return (int64_t)(self->dice % (uint64_t)sides);
}

int64_t endpoints_next(struct endpoints *self)
{
    self->at = (self->at + 1) % self->count;
    if (++self->failures < self->count)
        return 0;
    unsigned round = self->failures / self->count - 1;
    int64_t rest = round > ROUNDS_DOUBLING ? REST_MOST_MS : REST_LEAST_MS << round;
    return rest / 2 + roll(self, rest / 2 + 1);
}

void endpoints_good(struct endpoints *self)
{
    self->failures = 0;
    self->useless_ms = 0;
}

void endpoints_used(struct endpoints *self, bool of_use, int64_t now_ms)
{
    if (of_use)
        self->useless_ms = 0;
    else if (!self->useless_ms)
        self->useless_ms = now_ms;
}

bool endpoints_useless(const struct endpoints *self, int64_t now_ms, int64_t patience_ms)
{
    return self->count > 1 && self->useless_ms && now_ms - self->useless_ms > patience_ms;
}
