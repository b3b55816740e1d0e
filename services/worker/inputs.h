#pragma once
/* A node's inputs as its engine gets them: checked against the declaration, defaults filled in, and
 * every path replaced by where the file really lies. */
#include "services/worker/node.h"

#include "services/worker/packed.h"

/* Why an attempt failed, when it is not the engine that says so. */
struct fault {
    int code; /* a status, or -errno */
    char field[65];
    char message[512];
};

struct inputs_places {
    const char *folder; /* the task's own */
    const char *roots;  /* further ones, comma separated */
    bool engine;        /* an engine is fed, which fetches what addresses name */
    const char *legacy; /* where an older system kept the task's files: read when its folder lacks
                         * what a relative path names; NULL: nowhere */
};

/* 0, and the map in ret_inputs, which was empty. Else the fault's code, which says what is wrong
 * with which input. Looks at files, so it may block. */
int inputs_resolve(const struct node_row *row, const struct inputs_places *places,
                   struct slice given, struct packed *ret_inputs, struct fault *ret_fault);

/* Packs an array of the names of those inputs whose path is an address; given is checked, or empty.
 */
void inputs_addresses(const struct node_row *row, struct slice given, msgpack_packer *pk);
