#include "services/front/trace.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"

enum { NUMBERS = 3 }; /* two of the trace's id, one of the span's */

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
static void roll(uint64_t numbers[NUMBERS])
{
    const size_t size = NUMBERS * sizeof *numbers;
    const bool rolled = getrandom(numbers, size, GRND_NONBLOCK) == (ssize_t)size;
    for (size_t i = 0; i < NUMBERS; i++) {
        if (!rolled)
            numbers[i] = ((uint64_t)clock_ns() + i) * 0x9e3779b97f4a7c15;
        numbers[i] |= 1; /* none is all 0 */
    }
}

void trace_fill(struct trace *self, const char *id, const char *parent)
{
    uint64_t numbers[NUMBERS];
    roll(numbers);
    const uint64_t high = numbers[0], low = numbers[1], span = numbers[2];
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
