/* What happened last, for the report of a world that failed; everything, when verbose. */
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>

struct entry {
    int64_t at_us;
    const char *what; /* NULL: a message */
    int64_t a, b;
    struct note_message message; /* of another kind of note: from only */
};

static struct entry entries[NOTES];
static uint64_t count;

const char *role_text(enum role role)
{
    static const char *const texts[ROLES] = { "broker", "state", "worker", "client", "operator" };
    return texts[role];
}

static void print_proc(FILE *out, const struct proc *proc)
{
    if (proc)
        (void)fprintf(out, "%s%u", role_text(proc->role), proc->number);
    else
        (void)fputs("-", out);
}

static void print(FILE *out, const struct entry *e)
{
    (void)fprintf(out, "%10.6f ", (double)e->at_us / SECOND_US);
    print_proc(out, e->message.from);
    if (e->what) {
        (void)fprintf(out, " %s %" PRId64 " %" PRId64 "\n", e->what, e->a, e->b);
        return;
    }
    (void)fputs(" > ", out);
    print_proc(out, e->message.to);
    (void)fprintf(out, " %s%s%s #%" PRIx64 " count=%u status=%u%s%s\n", e->message.verb,
                  e->message.answers ? " of " : "", e->message.answers ? e->message.answers : "",
                  e->message.request, e->message.count, e->message.status,
                  *e->message.fate ? " " : "", e->message.fate);
}

void notes_begin(void)
{
    count = 0;
}

static void keep(const struct entry *entry)
{
    const uint64_t told[] = { (uint64_t)entry->at_us, (uint64_t)entry->a,    (uint64_t)entry->b,
                              entry->message.request, entry->message.status, entry->message.count };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        world.trace = (world.trace ^ told[i]) * 0x100000001b3u;
    entries[count++ % NOTES] = *entry;
    if (world.verbose)
        print(stdout, entry);
}

void note(const char *what, const struct proc *proc, int64_t a, int64_t b)
{
    keep(&(struct entry){ world.now_us, what, a, b, { .from = proc } });
}

void note_sent(const struct note_message *message)
{
    keep(&(struct entry){ world.now_us, NULL, 0, 0, *message });
}

void notes_print(FILE *out)
{
    uint64_t first = count > NOTES ? count - NOTES : 0;
    for (uint64_t i = first; i < count; i++)
        print(out, &entries[i % NOTES]);
}

void fail(const char *format, ...)
{
    va_list args;
    if (world.failed)
        return;
    world.failed = true;
    va_start(args, format);
    (void)vsnprintf(world.failure, sizeof world.failure, format, args);
    va_end(args);
    note("FAILS", NULL, 0, 0);
}
