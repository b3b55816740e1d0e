#pragma once
/* The types a node's inputs can have, for all who check them. */
#include "common/slice.h"

struct input_type {
    const char *name;                 /* as declarations say it */
    const char *wanted;               /* "a whole number" */
    bool (*fits)(struct slice value); /* a checked value */
};

/* NULL: there is no such type. */
const struct input_type *input_type_find(struct slice name);
