#pragma once
/* Memory of a connection's replies: hiredis makes one at a time, so all its parts lie in one piece
 * that the next reply takes over, instead of two allocations for every element. */
#include <hiredis/hiredis.h>

struct replies {
    struct piece *newest; /* the older ones hang on it, until the reply at hand ends */
};

/* A zeroed one is empty. The reader's replies are made there from now on, as redisReply; self
 * outlives the reader, and a reader that follows on it may take it over. */
void replies_attach(struct replies *self, redisReader *reader);
void replies_clear(struct replies *self);
