#pragma once
/* What the verbs that name a task or a stage share. */
#include "services/state/stages.h"
#include "services/state/state.h"

/* 0 or STATUS_INVALID, told in why. */
int ref_check(const struct m_ref *ref, struct refusal *why);
/* Decodes and checks the reference that is the body, or refuses the ask: false. */
bool ref_read(ask_t **ask_p, struct m_ref *ret_ref);
/* Decodes what ref_read() has seen, when the answer of Redis is there. */
void ref_again(ask_t *ask, struct m_ref *ret_ref);
/* Answers NOT_FOUND. */
void ref_missing(ask_t **ask_p, const struct m_ref *ref);
/* Answers the record. */
void ref_tell(ask_t **ask_p, struct slice id, const struct stages *stages);
