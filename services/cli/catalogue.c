#include "services/cli/catalogue.h"

#include <string.h>

static const char *text_of(const json_t *map, const char *key)
{
    const char *text = json_string_value(json_object_get(map, key));
    return text ? text : "";
}

/* By insertion: a catalogue is some dozens of nodes. */
void catalogue_sort(json_t *nodes)
{
    for (size_t i = 1; i < json_array_size(nodes); i++) {
        json_t *node = json_incref(json_array_get(nodes, i));
        size_t at = 0;
        while (at < i &&
               strcmp(text_of(json_array_get(nodes, at), "name"), text_of(node, "name")) < 0)
            at++;
        json_array_remove(nodes, i);
        json_array_insert_new(nodes, at, node);
    }
}

const json_t *catalogue_node(const json_t *nodes, const char *name)
{
    size_t index;
    const json_t *node;
    json_array_foreach (nodes, index, node) {
        if (strcmp(text_of(node, "name"), name) == 0)
            return node;
    }
    return NULL;
}

const char *catalogue_type(const json_t *node, struct slice input)
{
    size_t index;
    const json_t *row;
    json_array_foreach (json_object_get(node, "inputs"), index, row) {
        if (slice_is(input, text_of(row, "name")))
            return text_of(row, "type");
    }
    return "";
}
