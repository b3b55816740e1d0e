#pragma once
/* What nodes there are and what inputs they take, as workers declared them. A copy of what Redis
 * has, so that a wrong submit is refused before anything is written. */
#include "services/state/refusal.h"
#include "services/state/task.h"
#include "services/state/upstream.h"

typedef struct catalogue catalogue_t;

enum {
    CATALOGUE_NODES_MAX = 4096,
    CATALOGUE_INPUTS_MAX = 64,          /* of one node */
    CATALOGUE_DECLARATION_MAX = 1 << 16 /* bytes */
};

/* NULL when out of memory. */
catalogue_t *catalogue_new(void);
void catalogue_destroy(catalogue_t **self_p);

/* Is this one node's declaration? 0 and its name (borrowed), or a status, told in refusal with the
 * field such as "inputs.3.type". Foreign bytes must have passed codec_check. */
int catalogue_verify(struct slice declaration, struct refusal *refusal, struct slice *ret_name);

/* Adds or replaces. The declaration is copied. 0; a status as catalogue_verify says; STATUS_BUSY
 * (CATALOGUE_NODES_MAX); -ENOMEM. */
int catalogue_put(catalogue_t *self, struct slice declaration);
size_t catalogue_count(const catalogue_t *self);

/* May this be submitted? input is a map or empty. An input that is a reference fits any type, and
 * one that others stand in for need not be given. 0; STATUS_NOT_FOUND (no such node) or
 * STATUS_INVALID, told in refusal with the field. ret_refers (may be NULL): do the inputs depend on
 * other stages of the task, by a reference, or as others would stand in for one that is not given?
 */
int catalogue_check(const catalogue_t *self, struct slice task, struct slice input,
                    struct refusal *refusal, bool *ret_refers);
/* The same of final inputs, where no text is a reference and nothing stands in any more. */
int catalogue_fits(const catalogue_t *self, struct slice task, struct slice input,
                   struct refusal *refusal);

/* How often this node may fail, and its first wait after that; zeros when it says nothing. */
struct limits catalogue_limits(const catalogue_t *self, struct slice task);

/* Whether it writes files; false of one that is not known. */
bool catalogue_space(const catalogue_t *self, struct slice task);

/* The inputs of a node that others stand in for, borrowed until the catalogue is changed. False: no
 * such node. */
bool catalogue_upstreams(const catalogue_t *self, struct slice task,
                         struct upstream_input ret_inputs[CATALOGUE_INPUTS_MAX], size_t *ret_count);
