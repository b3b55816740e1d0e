#include "services/state/audit_marks.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_ROOM = 1024 };

enum mark { FREE, UNHELD, HELD, TWICE, STRAY };

struct name {
    uint64_t hash;
    char *text; /* owned */
    size_t size;
};

struct hashes {
    uint64_t *items;
    size_t count, room;
};

struct marks {
    uint64_t seed;
    size_t max;

    uint64_t walks;       /* ever ended */
    uint64_t parts, part; /* this walk remembers the hashes that are part modulo parts */

    /* open addressing; room is a power of two, at most half of it is taken */
    uint64_t *hashes;
    uint8_t *marks;
    size_t room, count;

    struct hashes before; /* amiss in the last pass, sorted */
    struct hashes amiss;  /* amiss in this one */

    struct name names[MARKS_SUSPECTS_MAX]; /* met in this walk, and amiss in the last pass */
    size_t names_count;
    size_t told; /* names that marks_suspect() was through with */
    bool ended;  /* the walk has: amiss is filled */
};

marks_t *marks_new(size_t max, uint64_t seed)
{
    marks_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->seed = seed;
    self->max = max;
    self->parts = 1;
    return self;
}

/* Memory is only kept while a walk needs it. */
static void forget(marks_t *self)
{
    for (size_t i = 0; i < self->names_count; i++)
        free(self->names[i].text);
    self->names_count = self->told = 0;
    free(self->hashes);
    free(self->marks);
    self->hashes = NULL;
    self->marks = NULL;
    self->room = self->count = 0;
    self->ended = false;
}

void marks_destroy(marks_t **self_p)
{
    marks_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    forget(self);
    free(self->before.items);
    free(self->amiss.items);
    free(self);
}

void marks_begin(marks_t *self)
{
    forget(self);
    self->parts = 1;
    self->part = 0;
    self->amiss.count = 0;
}

/* Where a hash is, or would be; room > 0. Texts that differ in their last byte alone have hashes
 * that differ in few bits: the product has them in all that count. */
static size_t place(const marks_t *self, uint64_t hash)
{
    size_t at = (size_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (self->room - 1);
    while (self->marks[at] != FREE && self->hashes[at] != hash)
        at = (at + 1) & (self->room - 1);
    return at;
}

static bool is_ours(const marks_t *self, uint64_t hash)
{
    return (hash & (self->parts - 1)) == self->part;
}

/* All that is still ours into a table of another size. */
static int rebuild(marks_t *self, size_t room)
{
    uint64_t *old_hashes = self->hashes;
    uint8_t *old_marks = self->marks;
    const size_t old_room = self->room;
    uint64_t *hashes = calloc(room, sizeof *hashes);
    uint8_t *marks = calloc(room, sizeof *marks);
    if (!hashes || !marks) {
        free(hashes);
        free(marks);
        return -ENOMEM;
    }
    self->hashes = hashes;
    self->marks = marks;
    self->room = room;
    self->count = 0;
    for (size_t i = 0; i < old_room; i++) {
        if (old_marks[i] == FREE || !is_ours(self, old_hashes[i]))
            continue;
        const size_t at = place(self, old_hashes[i]);
        self->hashes[at] = old_hashes[i];
        self->marks[at] = old_marks[i];
        self->count++;
    }
    free(old_hashes);
    free(old_marks);
    return 0;
}

/* One more than max: from here on the walk remembers half of what it did. */
static int make_room(marks_t *self)
{
    while (self->count >= self->max) {
        self->parts *= 2;
        int r = rebuild(self, self->room);
        if (r)
            return r;
    }
    if (self->count * 2 < self->room)
        return 0;
    return rebuild(self, self->room ? self->room * 2 : FIRST_ROOM);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool was_amiss(const marks_t *self, uint64_t hash)
{
    const struct hashes *before = &self->before;
    return before->count &&
           bsearch(&hash, before->items, before->count, sizeof hash, compare) != NULL;
}

/* What was amiss the last time is remembered by name. */
static int keep_name(marks_t *self, uint64_t hash, struct slice text)
{
    if (self->names_count == MARKS_SUSPECTS_MAX || !was_amiss(self, hash))
        return 0;
    char *copy = slice_dup(text);
    if (!copy)
        return -ENOMEM;
    self->names[self->names_count++] = (struct name){ hash, copy, text.size };
    return 0;
}

/* A new hash. */
static int add(marks_t *self, uint64_t hash, struct slice text, enum mark mark)
{
    int r = make_room(self);
    if (r || !is_ours(self, hash))
        return r;
    const size_t at = place(self, hash);
    self->hashes[at] = hash;
    self->marks[at] = (uint8_t)mark;
    self->count++;
    return keep_name(self, hash, text);
}

static enum mark mark_of(const marks_t *self, uint64_t hash)
{
    return self->room ? self->marks[place(self, hash)] : FREE;
}

int marks_stage(marks_t *self, struct slice text)
{
    const uint64_t hash = slice_hash_from(self->seed, text);
    if (!is_ours(self, hash) || mark_of(self, hash) != FREE)
        return 0; /* a walk over a table that grows shows some twice */
    return add(self, hash, text, UNHELD);
}

int marks_holder(marks_t *self, struct slice text, bool loose)
{
    static const uint8_t next[] = {
        [FREE] = FREE, [UNHELD] = HELD, [HELD] = TWICE, [TWICE] = TWICE, [STRAY] = STRAY
    };
    const uint64_t hash = slice_hash_from(self->seed, text);
    if (!is_ours(self, hash))
        return 0;
    const enum mark mark = mark_of(self, hash);
    if (mark == FREE)
        return loose ? 0 : add(self, hash, text, STRAY);
    self->marks[place(self, hash)] = next[mark];
    return 0;
}

/* Out of memory it is not remembered: it is amiss the next time too. */
static void note(struct hashes *self, uint64_t hash)
{
    if (self->count == MARKS_AMISS_MAX)
        return;
    if (self->count == self->room) {
        const size_t room = self->room ? self->room * 2 : FIRST_ROOM;
        uint64_t *items = realloc(self->items, room * sizeof *items);
        if (!items)
            return;
        self->items = items;
        self->room = room;
    }
    self->items[self->count++] = hash;
}

/* From another place each time, since not all may fit. */
static void gather(marks_t *self)
{
    const uint64_t turn = slice_hash_from(self->seed, slice_make(&self->walks, sizeof self->walks));
    const size_t start = self->room ? (size_t)turn & (self->room - 1) : 0;
    self->walks++;
    for (size_t i = 0; i < self->room; i++) {
        const size_t at = (start + i) & (self->room - 1);
        const bool fine = self->marks[at] == FREE || self->marks[at] == HELD;
        if (!fine)
            note(&self->amiss, self->hashes[at]);
    }
    self->ended = true;
}

bool marks_suspect(marks_t *self, struct suspect *ret_suspect)
{
    static const enum seen seen[] = {
        [UNHELD] = SEEN_UNHELD, [TWICE] = SEEN_TWICE, [STRAY] = SEEN_STRAY
    };
    if (!self->ended)
        gather(self);
    while (self->told < self->names_count) {
        const struct name *name = &self->names[self->told++];
        const enum mark mark = mark_of(self, name->hash);
        if (mark != FREE && mark != HELD) { /* FREE: it is of another part by now */
            *ret_suspect = (struct suspect){ seen[mark], slice_make(name->text, name->size) };
            return true;
        }
    }
    return false;
}

bool marks_more(marks_t *self)
{
    if (!self->ended)
        gather(self);
    forget(self);
    if (++self->part < self->parts)
        return true;
    const struct hashes spare = self->before;
    self->before = self->amiss;
    self->amiss = spare;
    if (self->before.count)
        qsort(self->before.items, self->before.count, sizeof *self->before.items, compare);
    return false;
}

bool marks_amiss(const marks_t *self)
{
    return self->before.count > 0;
}

size_t marks_overlap(const uint64_t *before, size_t before_count, const uint64_t *page,
                     size_t page_count)
{
    for (size_t size = before_count < page_count ? before_count : page_count; size > 0; size--)
        if (memcmp(before + before_count - size, page, size * sizeof *page) == 0)
            return size;
    return 0;
}
