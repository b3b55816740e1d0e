#pragma once
/* What clients, workers and operators may say, by verb. */
#include "broker/broker.h"

extern verb_fn *const client_says[VERB_END];
extern verb_fn *const worker_says[VERB_END];
extern verb_fn *const operator_says[VERB_END];
