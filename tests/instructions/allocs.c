/* malloc and its kin, with a note of who called: our own code, or which library. Linked instead of
 * the C library's, which they call. */
#include "tests/instructions/count.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

enum { FRAMES = 12, OWN_FRAMES = 4, SITES_MAX = 512, SKIP = 2 };

/* The first frame that is neither the C library's nor C++'s says who; then come those of ours that
 * led there. */
struct site {
    const char *what;
    const char *who; /* "ours", or a library's file */
    void *own[OWN_FRAMES];
    uint64_t count;
};

bool allocs_on;
static struct site sites[SITES_MAX];
static size_t sites_count;

extern const char __executable_start, etext;

static bool is_ours(const void *frame)
{
    return (const char *)frame >= &__executable_start && (const char *)frame < &etext;
}

static const char *library_of(const void *frame)
{
    Dl_info info;
    if (!dladdr(frame, &info) || !info.dli_fname)
        return "?";
    const char *slash = strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

static bool is_plumbing(const char *library)
{
    return strncmp(library, "libc.so", 7) == 0 || strncmp(library, "libstdc++", 9) == 0;
}

static struct site look(const char *what)
{
    void *frames[FRAMES];
    struct site site = { .what = what };
    int own = 0, count = backtrace(frames, FRAMES);
    for (int i = SKIP; i < count && own < OWN_FRAMES; i++) {
        bool ours = is_ours(frames[i]);
        const char *who = ours ? "ours" : library_of(frames[i]);
        if (!site.who && !is_plumbing(who))
            site.who = who;
        if (ours)
            site.own[own++] = frames[i];
    }
    if (!site.who)
        site.who = "libc";
    return site;
}

static void __attribute__((noinline)) note(const char *what)
{
    allocs_on = false; /* looking may allocate */
    struct site site = look(what);
    size_t i = 0;
    while (i < sites_count && (sites[i].what != what || strcmp(sites[i].who, site.who) != 0 ||
                               memcmp(sites[i].own, site.own, sizeof site.own) != 0))
        i++;
    if (i == SITES_MAX)
        count_die("more places than %d allocate", (int)SITES_MAX);
    if (i == sites_count)
        sites[sites_count++] = site;
    sites[i].count++;
    allocs_on = true;
}

void allocs_begin(void)
{
    void *frames[FRAMES];
    (void)backtrace(frames, FRAMES); /* the first one loads a library */
    sites_count = 0;
}

/* "alloc PHASE WHAT WHO COUNT OFFSET...": where in the program, innermost first. */
void allocs_print(const char *phase)
{
    for (size_t i = 0; i < sites_count; i++) {
        const struct site *s = &sites[i];
        (void)printf("alloc %s %s %s %llu", phase, s->what, s->who, (unsigned long long)s->count);
        for (int k = 0; k < OWN_FRAMES && s->own[k]; k++)
            (void)printf(" %#zx", (size_t)((const char *)s->own[k] - &__executable_start));
        (void)putchar('\n');
    }
}

EXPORT void *malloc(size_t size)
{
    if (allocs_on)
        note("malloc");
    return __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    if (allocs_on)
        note("calloc");
    return __libc_calloc(count, size);
}

EXPORT void *realloc(void *old, size_t size)
{
    if (allocs_on)
        note("realloc");
    return __libc_realloc(old, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (allocs_on)
        note("aligned_alloc");
    return __libc_memalign(alignment, size);
}

EXPORT int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    if (allocs_on)
        note("posix_memalign");
    *ret_memory = __libc_memalign(alignment, size);
    return *ret_memory ? 0 : ENOMEM;
}

EXPORT void free(void *memory)
{
    if (allocs_on && memory)
        note("free");
    __libc_free(memory);
}
