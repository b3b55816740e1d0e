#pragma once
/* Why a message is refused: each fills b->error, counts, and answers the status. Texts are borrowed
 * for ever or lie in b->error_text. */
#include "broker/broker.h"

int refuse_malformed(struct broker *b);
int refuse_hello_first(struct broker *b);
int refuse_verb(struct broker *b, uint32_t verb, const char *role);
int refuse_field(struct broker *b, int status, const char *field, const char *sentence);
int refuse_large(struct broker *b, const char *field, uint64_t limit, uint64_t current);
int refuse_busy(struct broker *b, const char *scope, uint64_t limit, uint64_t current);
/* No state service is there, or none took it. */
int refuse_unavailable(struct broker *b);
int refuse_draining(struct broker *b);
/* A state service took it and did not answer, or died with it. */
int refuse_unanswered(struct broker *b);
