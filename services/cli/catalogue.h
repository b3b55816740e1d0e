#pragma once
/* What the workers declared: the answer to NODES, a list of maps. */
#include "proto/json.h"
#include "services/cli/cli.h"

/* By name. */
void catalogue_sort(json_t *nodes);
/* The declaration of a node, borrowed; NULL when there is none. */
const json_t *catalogue_node(const json_t *nodes, const char *name);
/* The type of an input, such as "path"; "" when it is not declared. */
const char *catalogue_type(const json_t *node, struct slice input);
