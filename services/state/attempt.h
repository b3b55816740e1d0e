#pragma once
/* What DONE and RETURN share: items that speak of an attempt, each sent on with all others of its
 * session. */
#include "services/state/state.h"

struct attempt {
    struct slice id, task, session, token;
};

/* 0 or STATUS_INVALID, told in why. */
int attempt_check(const struct attempt *attempt, struct refusal *why);
/* May the next attempt get this? Empty and nil may. 0, STATUS_TOO_LARGE or STATUS_INVALID. */
int checkpoint_check(struct slice checkpoint, struct refusal *why);
/* There is a value, and it is not nil. */
bool is_given(struct slice value);
/* Why an item could not be decoded. */
int attempt_unreadable(struct refusal *why, int status, const char *field);

/* The command of the session's batch, with the attempt's id, task and token in it, or NULL (the
 * trouble is noted). worker is for the batch that this item may open. */
struct command *attempt_join(batches_t *batches, ask_t *ask, uint32_t index,
                             const struct attempt *attempt, struct slice worker);
/* The rest of a handout's item in gantry_give_back: it did not run. */
void put_return(struct command *command, struct slice checkpoint);
/* The same, and it is put off for so long. */
void put_wait(struct command *command, uint64_t after_ms);

/* Reads an item and joins a batch with it: 0, or why it is refused. */
typedef int add_fn(ask_t *ask, uint32_t index, struct slice bytes, struct refusal *why);
/* Takes the ask. */
void attempts_add(ask_t *ask, add_fn *add);
