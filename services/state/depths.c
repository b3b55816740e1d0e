#include "services/state/depths.h"

#include "common/paths.h"
#include "common/scoped.h"

#include <errno.h>
#include <stdlib.h>

#define DEPTH_MOST UINT64_C(1000000000)

struct depth {
    struct slice service; /* borrowed from text */
    uint64_t most;
};

struct depths {
    uint64_t fallback;
    char *text;
    size_t count;
    struct depth items[DEPTHS_MAX];
};

void depths_destroy(depths_t **self_p)
{
    depths_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->text);
    free(self);
}

static bool read_most(struct slice digits, uint64_t *ret_most)
{
    const char *at = digits.data;
    uint64_t most = 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (at[i] < '0' || at[i] > '9' || most > DEPTH_MOST)
            return false;
        most = most * 10 + (uint64_t)(at[i] - '0');
    }
    *ret_most = most;
    return most >= 1 && most <= DEPTH_MOST;
}

static const struct depth *find(const depths_t *self, struct slice service)
{
    for (size_t i = 0; i < self->count; i++)
        if (slice_equal(self->items[i].service, service))
            return &self->items[i];
    return NULL;
}

static bool add(depths_t *self, struct slice part)
{
    const char *equals = memchr(part.data, '=', part.size);
    struct depth depth;
    if (!equals || self->count == DEPTHS_MAX)
        return false;
    const size_t name = (size_t)(equals - (const char *)part.data);
    depth.service = slice_make(part.data, name);
    if (!service_valid(depth.service) || find(self, depth.service) ||
        !read_most(slice_make(equals + 1, part.size - name - 1), &depth.most))
        return false;
    self->items[self->count++] = depth;
    return true;
}

int depths_new(const char *limits, uint64_t fallback, depths_t **ret_self, struct slice *ret_wrong)
{
    scoped(depths) self = calloc(1, sizeof *self);
    if (self)
        self->text = slice_dup(slice_of(limits));
    if (!self || !self->text)
        return -ENOMEM;
    self->fallback = fallback;
    const char *at = self->text;
    while (*at) {
        at += strspn(at, ", ");
        const size_t size = strcspn(at, ", ");
        if (size && !add(self, slice_make(at, size))) {
            *ret_wrong = slice_make(limits + (at - self->text), size);
            return -EINVAL;
        }
        at += size;
    }
    *ret_self = self;
    self = NULL; /* it is the caller's now */
    return 0;
}

void depths_put(const depths_t *self, struct command *command)
{
    for (size_t i = 0; i < self->count; i++) {
        command_arg(command, self->items[i].service);
        command_whole(command, self->items[i].most);
    }
}

uint64_t depths_of(const depths_t *self, struct slice service)
{
    const struct depth *depth = find(self, service);
    return depth ? depth->most : self->fallback;
}
