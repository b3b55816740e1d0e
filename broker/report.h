#pragma once
/* What the broker tells about itself. Bodies are written into b->scratch. */
#include "broker/broker.h"

void report_status(struct broker *b);
/* Answers how many. */
uint32_t report_workers(struct broker *b);
