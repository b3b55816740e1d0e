#include "services/state/catalogue.h"

#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/input_type.h"
#include "proto/message.h"
#include "services/state/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };

struct input {
    struct slice name;
    struct slice upstream; /* outputs of other stages that stand in for it; empty: none do */
    const struct input_type *type;
    bool required;
};

struct node {
    struct node *next; /* of its bucket */
    char *bytes;       /* the declaration, that all slices borrow from */
    struct slice name;
    struct limits limits;
    bool space;
    uint32_t inputs_count;
    uint64_t upstreams; /* a bit for each input that has some */
    struct input inputs[CATALOGUE_INPUTS_MAX];
};

struct catalogue {
    size_t count;
    struct node *buckets[BUCKETS];
};

catalogue_t *catalogue_new(void)
{
    return calloc(1, sizeof(catalogue_t));
}

static void free_node(struct node *node)
{
    free(node->bytes);
    free(node);
}

void catalogue_destroy(catalogue_t **self_p)
{
    catalogue_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct node *node = self->buckets[i], *next; node; node = next) {
            next = node->next;
            free_node(node);
        }
    }
    free(self);
}

static int read_input(struct slice bytes, uint32_t index, struct input *ret_input,
                      struct refusal *refusal)
{
    struct m_input in;
    const char *wrong = NULL;
    int r = message_decode(&m_input_layout, bytes, &in, &wrong);
    const struct input_type *type = r ? NULL : input_type_find(in.type);
    if (!r && !type)
        wrong = "type";
    else if (!r && in.name.size == 0)
        wrong = "name";
    if (r || wrong) {
        char field[64];
        snprintf(field, sizeof field, "inputs.%u.%s", index, wrong ? wrong : "");
        return refusal_say(refusal, STATUS_INVALID, field, "not an input's declaration");
    }
    *ret_input = (struct input){
        .name = in.name, .upstream = in.upstream, .type = type, .required = in.required
    };
    return 0;
}

static int read_inputs(struct slice list, struct node *node, struct refusal *refusal)
{
    struct reader reader;
    uint32_t count;
    if (list.size == 0 || codec_is_nil(list))
        return 0;
    if (!codec_array(list, &reader, &count) || count > CATALOGUE_INPUTS_MAX)
        return refusal_say(refusal, STATUS_INVALID, "inputs", "must be a list of at most %d inputs",
                           CATALOGUE_INPUTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct slice value;
        if (!reader_value(&reader, &value))
            return refusal_say(refusal, STATUS_MALFORMED, "inputs", "cut off");
        int r = read_input(value, i, &node->inputs[node->inputs_count++], refusal);
        if (r)
            return r;
        if (node->inputs[i].upstream.size)
            node->upstreams |= (uint64_t)1 << i;
    }
    return 0;
}

static int check_limit(const char *field, uint32_t value, uint32_t most, struct refusal *refusal)
{
    if (value <= most)
        return 0;
    refusal->limit = most;
    refusal->current = value;
    return refusal_say(refusal, STATUS_INVALID, field, "must be at most %u", most);
}

static int read_node(struct slice declaration, struct node *ret_node, struct refusal *refusal)
{
    struct m_node in;
    const char *wrong = NULL;
    if (declaration.size > CATALOGUE_DECLARATION_MAX) {
        refusal->limit = CATALOGUE_DECLARATION_MAX;
        refusal->current = declaration.size;
        return refusal_say(refusal, STATUS_TOO_LARGE, "nodes", "a node's declaration is too long");
    }
    int r = message_decode(&m_node_layout, declaration, &in, &wrong);
    if (r)
        return refusal_say(refusal, r, wrong ? wrong : "nodes", "not a node's declaration");
    if (!task_name_valid(in.name))
        return refusal_say(refusal, STATUS_INVALID, "name", "must be service.method of [a-z0-9_]");
    r = check_limit("failures_max", in.failures_max, FAILURES_MOST, refusal);
    if (r == 0)
        r = check_limit("crashes_max", in.crashes_max, CRASHES_MOST, refusal);
    if (r)
        return r;
    ret_node->name = in.name;
    ret_node->limits = (struct limits){ in.failures_max, in.crashes_max, in.retry_ms };
    ret_node->space = in.space;
    return read_inputs(in.inputs, ret_node, refusal);
}

int catalogue_verify(struct slice declaration, struct refusal *refusal, struct slice *ret_name)
{
    struct node node = { 0 };
    int r = read_node(declaration, &node, refusal);
    if (!r)
        *ret_name = node.name;
    return r;
}

static struct node **place(catalogue_t *self, struct slice name)
{
    struct node **at = &self->buckets[slice_hash(name) % BUCKETS];
    while (*at && !slice_equal((*at)->name, name))
        at = &(*at)->next;
    return at;
}

int catalogue_put(catalogue_t *self, struct slice declaration)
{
    struct refusal refusal = { 0 };
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return -ENOMEM;
    node->bytes = slice_dup(declaration);
    int r = node->bytes ? 0 : -ENOMEM;
    if (!r)
        r = read_node(slice_make(node->bytes, declaration.size), node, &refusal);
    struct node **at = r ? NULL : place(self, node->name);
    if (!r && !*at && self->count >= CATALOGUE_NODES_MAX)
        r = STATUS_BUSY;
    if (r) {
        free_node(node);
        return r;
    }
    if (*at) {
        struct node *old = *at;
        *at = old->next;
        free_node(old);
        self->count--;
    }
    node->next = *at;
    *at = node;
    self->count++;
    return 0;
}

size_t catalogue_count(const catalogue_t *self)
{
    return self->count;
}

static int unknown_node(const catalogue_t *self, struct slice task, struct refusal *refusal)
{
    if (self->count == 0)
        return refusal_say(
            refusal, STATUS_NOT_FOUND, "task",
            "no node %.*s: no worker has ever registered; start one that serves %.*s",
            SLICE_ARG(task), SLICE_ARG(task_name_service(task)));
    return refusal_say(
        refusal, STATUS_NOT_FOUND, "task",
        "no worker has ever registered a node %.*s; NODES (gantry nodes) lists those "
        "there are",
        SLICE_ARG(task));
}

static const struct input *find_input(const struct node *node, struct slice name,
                                      uint32_t *ret_index)
{
    for (uint32_t i = 0; i < node->inputs_count; i++) {
        if (slice_equal(node->inputs[i].name, name)) {
            *ret_index = i;
            return &node->inputs[i];
        }
    }
    return NULL;
}

static int check_references(struct slice name, struct slice value, uint32_t *count,
                            struct refusal *refusal)
{
    struct refusal wrong = { 0 };
    int r = reference_check(value, count, &wrong);
    return r ? refusal_input(refusal, name, "%s", wrong.message) : 0;
}

/* What is known of an input map. */
struct given {
    bool plain;          /* no text is to be read as a reference */
    uint64_t inputs;     /* a bit for each that is there; nil counts as not given */
    uint32_t references; /* in all of them */
};

static int check_given(const struct node *node, struct slice key, struct slice value,
                       struct given *given, struct refusal *refusal)
{
    struct slice name;
    uint32_t index = 0;
    if (!codec_str(key, &name))
        return refusal_say(refusal, STATUS_INVALID, "input", "names of inputs are strings");
    const struct input *input = find_input(node, name, &index);
    if (!input)
        return refusal_input(refusal, name, "%.*s has no such input", SLICE_ARG(node->name));
    if (codec_is_nil(value))
        return 0;
    given->inputs |= (uint64_t)1 << index;
    int r = given->plain ? 0 : check_references(name, value, &given->references, refusal);
    if (r || input->type->fits(value) || (!given->plain && reference_whole(value)))
        return r;
    return refusal_input(refusal, name, "must be %s", input->type->wanted);
}

static int check_inputs(const struct node *node, struct slice map, struct given *given,
                        struct refusal *refusal)
{
    struct reader reader;
    uint32_t pairs;
    if (map.size == 0 || codec_is_nil(map))
        return 0;
    if (!codec_map(map, &reader, &pairs))
        return refusal_say(refusal, STATUS_INVALID, "input", "must be a map");
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice key, value;
        if (!reader_value(&reader, &key) || !reader_value(&reader, &value))
            return refusal_say(refusal, STATUS_MALFORMED, "input", "cut off");
        int r = check_given(node, key, value, given, refusal);
        if (r)
            return r;
    }
    return 0;
}

static const struct node *find_node(const catalogue_t *self, struct slice task)
{
    const struct node *node = self->buckets[slice_hash(task) % BUCKETS];
    while (node && !slice_equal(node->name, task))
        node = node->next;
    return node;
}

static int missing(const struct node *node, const struct input *input, struct refusal *refusal)
{
    if (input->upstream.size)
        return refusal_input(refusal, input->name,
                             "is required by %.*s: it is not given, and no completed stage of the "
                             "task wrote %.*s",
                             SLICE_ARG(node->name), SLICE_ARG(input->upstream));
    return refusal_input(refusal, input->name, "is required by %.*s", SLICE_ARG(node->name));
}

static int check_all(const struct node *node, struct slice input, uint64_t stand_in,
                     struct given *given, struct refusal *refusal)
{
    int r = check_inputs(node, input, given, refusal);
    const uint64_t there = given->inputs | stand_in;
    for (uint32_t i = 0; i < node->inputs_count && !r; i++)
        if (node->inputs[i].required && !(there & (uint64_t)1 << i))
            r = missing(node, &node->inputs[i], refusal);
    return r;
}

int catalogue_check(const catalogue_t *self, struct slice task, struct slice input,
                    struct refusal *refusal, bool *ret_refers)
{
    const struct node *node = find_node(self, task);
    if (!node)
        return unknown_node(self, task, refusal);
    struct given given = { .plain = !reference_possible(input) };
    int r = check_all(node, input, node->upstreams, &given, refusal);
    if (!r && ret_refers)
        *ret_refers = given.references || (node->upstreams & ~given.inputs);
    return r;
}

int catalogue_fits(const catalogue_t *self, struct slice task, struct slice input,
                   struct refusal *refusal)
{
    const struct node *node = find_node(self, task);
    struct given given = { .plain = true };
    return node ? check_all(node, input, 0, &given, refusal) : unknown_node(self, task, refusal);
}

struct limits catalogue_limits(const catalogue_t *self, struct slice task)
{
    const struct node *node = find_node(self, task);
    return node ? node->limits : (struct limits){ 0 };
}

bool catalogue_space(const catalogue_t *self, struct slice task)
{
    const struct node *node = find_node(self, task);
    return node && node->space;
}

bool catalogue_upstreams(const catalogue_t *self, struct slice task,
                         struct upstream_input ret_inputs[CATALOGUE_INPUTS_MAX], size_t *ret_count)
{
    const struct node *node = find_node(self, task);
    if (!node)
        return false;
    *ret_count = 0;
    for (uint32_t i = 0; i < node->inputs_count; i++)
        if (node->inputs[i].upstream.size)
            ret_inputs[(*ret_count)++] =
                (struct upstream_input){ node->inputs[i].name, node->inputs[i].upstream };
    return true;
}
