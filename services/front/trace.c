#include "services/front/trace.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"

static const char hex[] = "0123456789abcdef";
static const char sane[] = "abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789._-:";

bool trace_id_sane(const char *id)
{
    const size_t size = strspn(id, sane);
    return size > 0 && size < TRACE_ID_SIZE && !id[size];
}

/* So many hex digits and then that; not all 0 unless it may be. */
static bool field(const char *text, size_t size, char end, bool zero)
{
    return strspn(text, hex) == size && text[size] == end && (zero || strspn(text, "0") < size);
}

bool trace_parent_sane(const char *parent)
{
    return strlen(parent) == TRACE_PARENT_SIZE - 1 && memcmp(parent, "00-", 3) == 0 &&
           field(parent + 3, 32, '-', false) && field(parent + 36, 16, '-', false) &&
           field(parent + 53, 2, '\0', true);
}

/* Nothing depends on nobody guessing it: without dice the clock will do. */
static uint64_t roll(void)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number)
        number = (uint64_t)clock_ns() * 0x9e3779b97f4a7c15;
    return number | 1; /* none is all 0 */
}

void trace_fill(struct trace *self, const char *id, const char *parent)
{
    const uint64_t high = roll(), low = roll(), span = roll();
    if (id && trace_id_sane(id))
        (void)snprintf(self->id, sizeof self->id, "%s", id);
    else
        (void)snprintf(self->id, sizeof self->id, "%016llx%016llx", (unsigned long long)high,
                       (unsigned long long)low);
    if (parent && trace_parent_sane(parent))
        (void)snprintf(self->parent, sizeof self->parent, "%s", parent);
    else
        (void)snprintf(self->parent, sizeof self->parent, "00-%016llx%016llx-%016llx-01",
                       (unsigned long long)high, (unsigned long long)low, (unsigned long long)span);
}
