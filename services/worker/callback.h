#pragma once
/* system.callback: tells an address how a run ended. */
#include "services/worker/node.h"

extern const struct node_async callback_async;
