#pragma once
/* What the verbs that name a task or a stage share. */
#include "services/state/stages.h"
#include "services/state/state.h"

/* 0 or STATUS_INVALID, told in why. */
int ref_check(const struct m_ref *ref, struct refusal *why);
/* Answers NOT_FOUND. */
void ref_missing(ask_t **ask_p, const struct m_ref *ref);
/* Answers the record. */
void ref_tell(ask_t **ask_p, struct slice id, const struct stages *stages);
